"""Kills of the dispatcher in every state of a notice, which astronomers and GraceDB must still see exactly once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gwbatch.config.profile import GraceDBSettings
from gwbatch.demo.pipelines import Trigger, upload
from gwbatch.demo.processes import DemoProcesses
from gwbatch.gracedb import make_client
from gwbatch.ledger import Ledger
from tests.integration.alert_harness import read_topic

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
TOPICS = {"gcn": "igwn.gwalert", "scimma": "igwn.gwalert-avro"}
POLICY = """
[annotation]
leave_out = ["bayestar.coherence.png"]
[annotation.made_for]
"em_bright.json" = ["cbc"]
[alerts]
second_after = 1.0
"""
WHOLE = ["PRELIMINARY", "PRELIMINARY", "INITIAL", "RETRACTION"]
POINTS = [
    "notice.before_freeze:1",
    *(f"notice.frozen:{n}" for n in (1, 4)),
    *(f"notice.before_send:{n}" for n in (1, 5)),
    *(f"notice.after_send:{n}" for n in (1, 6)),
    "notice.after_store:3",
    "gracedb.after_expose:1",
    "timers.before_commit:1",
]


def play(folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Play a significant event, two preliminaries, a signoff and its reversal; return what GraceDB and brokers hold."""
    folder.mkdir()
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    brokers = [
        f'alerts.brokers.{name}={{bootstrap="@KAFKA@", topic="{topic}", format="{form}", categories=["production"], '
        'delivery_timeout=2.0, kafka={"fetch.wait.max.ms"=10}}'
        for (name, topic), form in zip(TOPICS.items(), ("json", "avro"), strict=True)
    ]
    settings = [
        'plugins=["tests.acceptance.fast_jobs", "tests.acceptance.quick_drafts"]',
        f'plugin_folders=["{ROOT}"]', "alerts.mode=all", *brokers
    ]  # fmt: skip
    with DemoProcesses(folder, policies=[policy], settings=settings, environment=environment) as stage:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        upload(client, Trigger("gstlal", "bns_hlv", 1e-9))
        ledger = Ledger(stage.state / "ledger.sqlite")
        wait_for(2, stage, ledger)
        (superevent,) = client.superevents("category: Production")
        sid = superevent["superevent_id"]
        client.create_signoff(sid, "ADV", "OK", "looks good")
        wait_for(3, stage, ledger)
        client.update_signoff(sid, "ADV", status="NO", comment="it was a glitch")
        wait_for(4, stage, ledger)
        state = {"gracedb": in_gracedb(client, sid)}
        for name, topic in TOPICS.items():
            state[name] = [
                (one.notice["alert_type"], one.headers["_id"]) for one in read_topic(stage.addresses["kafka"], topic)
            ]
        ledger.close()
        return state


def wait_for(notices: int, stage: DemoProcesses, ledger: Ledger) -> None:
    """Restart the dispatcher whenever it was killed, until this many notices are stored and their effects done."""
    deadline = time.monotonic() + 90
    done = "SELECT count(*) AS n FROM public_notices WHERE state = 'stored'"
    while time.monotonic() < deadline:
        if stage.dispatcher.poll() is not None:
            assert stage.dispatcher.returncode == -signal.SIGKILL, (stage.folder / "dispatcher.log").read_text()
            stage.start_dispatcher()
        through = ledger.read(done)[0]["n"] == notices
        if through and not ledger.read("SELECT 1 FROM effects WHERE state <> 'done' AND kind LIKE 'notice.%'"):
            return
        time.sleep(0.05)
    rows = [dict(row) for row in ledger.read("SELECT kind, state, reason FROM public_notices")]
    undone = [
        dict(row)
        for row in ledger.read("SELECT key, state, attempts, error, started FROM effects WHERE state <> 'done'")
    ]
    raise AssertionError(f"{rows}\n{undone}\n{(stage.folder / 'dispatcher.log').read_text()[-4000:]}")


def in_gracedb(client: Any, sid: str) -> dict[str, Any]:
    files = [entry["filename"] for entry in client.files(sid).json()["files"] if "," in entry["filename"]]
    return {
        "notices": [one["notice_type"] for one in client.notices(sid).json()["notices"]],
        "labels": sorted(client.superevent(sid).json()["labels"]),
        "drafts": sorted(name for name in files if "circular" in name),
        "files": sorted(name for name in files if name.endswith((".avro,0", ".avro,1", ".json,0")) and sid in name),
    }


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = play(tmp_path_factory.mktemp("alerts") / "run", {})
    for broker in TOPICS:
        assert [kind for kind, _ in state[broker]] == WHOLE
    assert state["gracedb"]["notices"] == ["PR", "PR", "IN", "RE"]
    assert "GCN_PRELIM_SENT" in state["gracedb"]["labels"]
    return state


@pytest.mark.parametrize("point", POINTS)
def test_the_dispatcher_is_killed_on_the_way_of_a_notice(
    tmp_path: Path, uninterrupted: dict[str, Any], point: str
) -> None:
    state = play(tmp_path / "run", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"})
    assert (tmp_path / "killed").exists(), "the marked point was never reached"
    assert state["gracedb"] == uninterrupted["gracedb"]
    for broker in TOPICS:
        assert [kind for kind, _ in state[broker]] == WHOLE
        assert set(Counter(identity for _, identity in state[broker]).values()) == {1}


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_random_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """``GWBATCH_SOAK_KILLS`` is the number of plays, each with at most one kill, at a random point of the chain."""
    import random

    names = [point.rpartition(":")[0] for point in POINTS]
    for number in range(int(os.environ.get("GWBATCH_SOAK_KILLS", "300"))):
        point = f"{random.choice(names)}:{random.randint(1, 6)}"
        state = play(tmp_path / f"run{number}", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed{number}"})
        for broker in TOPICS:
            assert [kind for kind, _ in state[broker]] == WHOLE, (number, point)
