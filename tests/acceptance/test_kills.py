"""Killed at marked points (SIGKILL), started again: the end state is that of an uninterrupted run."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gwbatch.config.policy import load_policy
from gwbatch.config.profile import GraceDBSettings
from gwbatch.demo.pipelines import Trigger, upload
from gwbatch.demo.stage import Stage
from gwbatch.demo.verdict import left_to_do, unfinished
from gwbatch.gracedb.client import make_client
from gwbatch.ledger import Ledger

pytestmark = pytest.mark.acceptance

POLICY = load_policy()
ROOT = Path(__file__).parents[2]

# Two pipelines' triggers of one source, of which the second becomes preferred whatever ends first, and another event.
TRIGGERS = (Trigger("pycbc", "bns_hlv", 2.7e-4), Trigger("gstlal", "bns_hlv", 1e-9), Trigger("MBTA", "bbh_hlv", 2e-6))

DISPATCHER_POINTS = [
    "lane.superevent.decoded:2",
    "lane.superevent.before_commit:3",
    "lane.superevent.after_commit:5",
    "lane.general.before_commit:2",
    "effect.claimed:2",
    "gracedb.after_create_superevent:1",
    "gracedb.after_add_event:1",
    "gracedb.after_update_superevent:1",
    "gracedb.after_label:4",
    "gracedb.after_upload:3",
    "effect.before_done:9",
    "effect.after_done:6",
    "job.prepared:1",
    "job.submitted:2",
    "local.before_ticket:1",
    "local.after_ticket:2",
    "local.before_start:3",
    "local.after_start:1",
    "watcher.running:1",
    "watcher.done:2",
    "watcher.done_committed:1",
]
LISTENER_POINTS = [
    *(f"listener.received:{n}" for n in (1, 2, 4)),
    *(f"listener.before_commit:{n}" for n in (1, 3, 5, 8)),
    *(f"listener.after_commit:{n}" for n in (1, 2, 6)),
]
JOB_POINTS = [
    *(f"job.localize.{place}" for place in ("started", "before_result", "after_result")),
    *(f"job.plot-allsky.{place}" for place in ("started", "before_result", "after_result")),
    *(f"job.plot-volume.{place}" for place in ("started", "before_result")),
    *(f"job.flatten.{place}" for place in ("started", "after_result")),
]


def play(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Upload everything, start the dispatcher again whenever it was killed, and describe what GraceDB holds."""
    plugin = 'plugins=["tests.acceptance.fast_jobs"]'
    fast = folder / "policy.toml"
    folder.mkdir()
    fast.write_text('[annotation]\nleave_out = ["bayestar.coherence.png"]\n')
    environment = {"PYTHONPATH": str(ROOT), **environment}
    with Stage(folder, policies=[fast], settings=[plugin], environment=environment) as stage:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        for trigger in TRIGGERS:
            upload(client, trigger)
        ledger = Ledger(stage.state / "ledger.sqlite")
        killed = settle(stage, ledger)
        if "GWBATCH_KILL_AT" in environment and not environment["GWBATCH_KILL_AT"].startswith("listener"):
            assert killed, "the marked point was never reached"
        state = describe(client)
        assert list(unfinished(ledger)) == []
        ledger.close()
        return state


def settle(stage: Stage, ledger: Ledger) -> int:
    """Wait for the end; returns how often the dispatcher was killed."""
    killed, quiet_since, deadline = 0, None, time.monotonic() + 120
    while time.monotonic() < deadline:
        if stage.dispatcher.poll() is not None:
            assert stage.dispatcher.returncode == -signal.SIGKILL, (stage.folder / "dispatcher.log").read_text()
            killed += 1
            stage.start_dispatcher()
        heard = ledger.read("SELECT count(*) FROM events")[0][0]
        if heard < len(TRIGGERS) or left_to_do(stage, ledger, POLICY):
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > 0.3:
            return killed
        time.sleep(0.05)
    raise AssertionError(
        f"not over: {list(unfinished(ledger))}\n{(stage.folder / 'dispatcher.log').read_text()[-5000:]}"
    )


def describe(client: Any) -> dict[str, Any]:
    """Everything of GraceDB that counts, by what it is about and not by when it was written."""
    state: dict[str, Any] = {}
    for superevent in client.superevents("category: Production"):
        key = f"superevent of {superevent['preferred_event']}"
        wanted = ("category", "t_start", "t_0", "t_end", "preferred_event")
        state[key] = {name: superevent[name] for name in wanted}
        state[key] |= {"events": sorted(superevent["gw_events"]), "labels": sorted(superevent["labels"])}
        state[key] |= annotations(client, superevent["superevent_id"])
    for event in client.events():
        state[event["graceid"]] = {"labels": sorted(event["labels"]), **annotations(client, event["graceid"])}
    return state


def annotations(client: Any, name: str) -> dict[str, Any]:
    logs = client.logs(name).json()["logs"]
    files = sorted(entry["filename"] for entry in client.files(name).json()["files"])
    return {
        "files": files,
        "logs": Counter((log["comment"], log["filename"], tuple(sorted(log["tag_names"]))) for log in logs),
    }


def compare(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal; where not, say what differs."""
    assert state.keys() == expected.keys()
    for name, one in state.items():
        for aspect, value in one.items():
            assert value == expected[name][aspect], (name, aspect)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = play(tmp_path_factory.mktemp("uninterrupted") / "run", {})
    assert {key for key in state if key.startswith("superevent")} == {"superevent of G0002", "superevent of G0003"}
    assert state["superevent of G0002"]["events"] == ["G0001", "G0002"]
    assert "bayestar.volume.png,0" in state["superevent of G0002"]["files"]
    return state


@pytest.mark.parametrize("point", DISPATCHER_POINTS)
def test_the_dispatcher_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    compare(play(tmp_path / "run", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}), uninterrupted)


@pytest.mark.parametrize("point", LISTENER_POINTS)
def test_the_listener_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    compare(play(tmp_path / "run", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}), uninterrupted)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"


@pytest.mark.parametrize("point", JOB_POINTS)
def test_a_running_job_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment), uninterrupted)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"
