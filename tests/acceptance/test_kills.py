"""Kills (SIGKILL) at failpoints, after which the final state must be that of an uninterrupted run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gwbatch.ledger import Ledger
from tests.acceptance.kill_scenarios import compare, play

pytestmark = pytest.mark.acceptance

DISPATCHER_POINTS = [
    "lane.superevent.decoded:2",
    "lane.superevent.before_commit:3",
    "lane.superevent.after_commit:5",
    "lane.general.before_commit:2",
    "effect.claimed:2",
    "gracedb.after_create_superevent:1",
    "gracedb.after_add_event:1",
    "gracedb.after_create_external:1",
    "lane.exttrig.before_commit:2",
    "lane.exttrig.after_commit:3",
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
LISTENER_POINTS = ["listener.received:2", *(f"listener.before_commit:{n}" for n in (1, 5)), "listener.after_commit:6"]
MORE_LISTENER_POINTS = [
    *(f"listener.received:{n}" for n in (1, 4)),
    *(f"listener.before_commit:{n}" for n in (3, 8)),
    *(f"listener.after_commit:{n}" for n in (1, 2)),
]
JOB_POINTS = [
    *(f"job.localize.{place}" for place in ("started", "before_result", "after_result")),
    *(f"job.plot-allsky.{place}" for place in ("started", "before_result", "after_result")),
    *(f"job.plot-volume.{place}" for place in ("started", "before_result")),
    *(f"job.flatten.{place}" for place in ("started", "after_result")),
]


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    state = play(tmp_path_factory.mktemp("uninterrupted") / "run", {})
    assert {key for key in state if key.startswith("superevent")} == {"superevent of G0002", "superevent of G0003"}
    assert state["superevent of G0002"]["events"] == ["G0001", "G0002"]
    assert state["superevent of G0002"]["em_events"] == ["E0004"]
    assert "RAVEN_ALERT" in state["G0002"]["labels"]
    assert "bayestar.volume.png,0" in state["superevent of G0002"]["files"]
    return state


@pytest.mark.parametrize("point", DISPATCHER_POINTS)
def test_the_dispatcher_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    compare(play(tmp_path / "run", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}), uninterrupted)


@pytest.mark.parametrize("step", [3600, pytest.param(-3600, marks=pytest.mark.soak)])
def test_somebody_sets_the_clock(tmp_path: Path, uninterrupted: dict[str, Any], step: int) -> None:
    """The clock is set in the middle of the play, which ends in the same state and no later."""
    clock = tmp_path / "clock"

    def set_soon(ledger: Ledger) -> None:
        threading.Thread(target=set_after, args=(ledger.path, clock, step), daemon=True).start()

    plugins = 'plugins=["tests.acceptance.fast_jobs", "tests.acceptance.set_clock"]'
    state = play(tmp_path / "run", {"GWBATCH_TEST_CLOCK": str(clock)}, settings=[plugins], before=set_soon)
    compare(state, uninterrupted)
    log = (tmp_path / "run" / "dispatcher.log").read_text()
    assert f"the clock was set by {step:+d}.0 s" in log


def set_after(path: Path | None, clock: Path, step: int, effects: int = 8) -> None:
    ledger = Ledger(path)
    while ledger.read("SELECT count(*) AS n FROM effects WHERE state = 'done'")[0]["n"] < effects:
        time.sleep(0.02)
    ledger.close()
    clock.write_text(str(step))


@pytest.mark.parametrize("effects", [pytest.param(1, marks=pytest.mark.soak), 25])
def test_the_machine_is_lost_and_its_ledger_restored(
    tmp_path: Path, uninterrupted: dict[str, Any], effects: int
) -> None:
    """The backup lacks the latest effects, but GraceDB's final state shows no difference."""
    compare(play(tmp_path / "run", {}, lost_after=effects), uninterrupted)


@pytest.mark.parametrize(
    "point", [*LISTENER_POINTS, *(pytest.param(point, marks=pytest.mark.soak) for point in MORE_LISTENER_POINTS)]
)
def test_the_listener_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    compare(play(tmp_path / "run", {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}), uninterrupted)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"


@pytest.mark.parametrize("point", JOB_POINTS)
def test_a_running_job_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment), uninterrupted)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"
