"""Commands that explain decisions with the policy the dispatcher used, and that say which policy it is."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from starlette.testclient import TestClient

from gwbatch.cli import cli
from gwbatch.cli.options import profile_in_force
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import ConsoleSettings, GraceDBSettings, Profile
from gwbatch.console.access import access_of
from gwbatch.console.app import make_app
from gwbatch.ledger import Ledger, in_force
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import Decision
from tests import alerts

PROFILE = Profile(name="mine", gracedb=GraceDBSettings("https://g.example.org/api/", "none"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return the state directory of a dispatcher that has one superevent and finds nothing significant."""
    ledger = Ledger(tmp_path / "ledger.sqlite", create=True)
    with ledger.transaction() as tx:
        mirror = SupereventStore(tx)
        mirror.put_event(alerts.event("G1", 1e9, 1e-9, labels=alerts.COMPLETE), time.time())
        detail = {"event": "G1", "category": "production", "t_start": 1e9 - 1, "t_0": 1e9, "t_end": 1e9 + 1}
        mirror.apply(Decision("create", "S@G1", {**detail, "preferred": "G1"}), time.time())
        policy = msgspec.structs.replace(load_policy(), significant={})
        in_force.record(tx, policy, PROFILE, time.time())
    ledger.close()
    return tmp_path


def show(state: Path, *more: str) -> Result:
    done = CliRunner().invoke(cli, ["superevent", "show", "S@G1", "--state", str(state), *more])
    assert done.exit_code == 0, done.output
    return done


def test_superevent_show_goes_by_the_dispatchers_policy(state: Path, tmp_path: Path) -> None:
    found = json.loads(show(state, "--json").output)
    assert [member["significant"] for member in found["members"]] == [False]
    assert found["policy"].startswith("the dispatcher's own, as of its start at ")
    assert "policy: the dispatcher's own" in show(state).output


def test_a_policy_that_is_named_goes_before_it(state: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("")
    found = json.loads(show(state, "--json", "--policy", str(mine)).output)
    assert [member["significant"] for member in found["members"]] == [True]
    assert "mine.toml" in found["policy"]


def test_the_console_goes_by_it_too(state: Path) -> None:
    app = make_app(state / "ledger.sqlite", access_of(ConsoleSettings()))
    client = TestClient(app, "http://127.0.0.1")
    found = client.get("/superevent.json", params={"name": "S@G1"}).json()
    assert [member["significant"] for member in found["members"]] == [False]


def test_the_console_takes_the_dispatchers_profile_unless_one_is_named(state: Path) -> None:
    assert profile_in_force(state / "ledger.sqlite", None, ()).gracedb.url == "https://g.example.org/api/"
    assert profile_in_force(state / "ledger.sqlite", "local", ()).gracedb.url == ""
    assert profile_in_force(state / "nowhere.sqlite", None, ()).name == "local"


def test_a_recorded_policy_that_cannot_be_read_counts_as_none(state: Path) -> None:
    ledger = Ledger(state / "ledger.sqlite")
    with ledger.transaction() as tx:
        tx.execute("UPDATE settings SET value = '{\"unheard_of\": 1}'")
    ledger.close()
    assert "the standard policy" in show(state).output


def test_job_commands_take_their_defaults_from_the_policy(tmp_path: Path) -> None:
    policy = tmp_path / "mine.toml"
    policy.write_text("[annotation.parameters.plot-allsky]\ncontours = [12]\n")
    tiny = Path(__file__).parents[1] / "data" / "tiny.multiorder.fits"
    output = tmp_path / "out" / "a.png"
    output.parent.mkdir()
    seen: list[object] = []

    def spy(_key: str, _kind: str, _inputs: object, place: Path, parameters: dict[str, object], folder: Path) -> int:
        seen.append(parameters)
        (folder / "result.json").write_text(json.dumps({"error": None, "run_seconds": 0, "cores": 1, "host": "x"}))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gwbatch.jobs.runner.run", spy)
        for more in ([], ["--contour", "34"]):
            words = ["job", "--policy", str(policy), "plot-allsky", str(tiny), "-o", str(output), *more]
            assert CliRunner().invoke(cli, words).exit_code == 0
    assert seen == [{"contours": [12]}, {"contours": [34.0]}]
