"""A dispatcher with pilots is killed (SIGKILL) while it hands jobs to them: the end state is that without a kill."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from gwbatch.ledger import Ledger
from tests.acceptance.plays import compare, play

pytestmark = pytest.mark.xdist_group("standby_kills")

PILOTS = ['standby.openmp.kinds=["localize"]', "standby.openmp.orphaned_after=20"]
POLICY = "[standby.openmp]\npilots = 1\n"
WHEN_NEEDED = "[standby.openmp]\nafter_alert = 1\n"
POINTS = [
    "standby.pilot_planned", "standby.pilot_submitted", "standby.before_offer", "standby.offered", "standby.claimed",
    "job.submitted", "watcher.running", "watcher.done", "watcher.done_committed",
]  # fmt: skip


def pilot_is_ready(ledger: Ledger) -> None:
    end = time.monotonic() + 30
    while not ledger.read("SELECT 1 FROM pilots WHERE ready IS NOT NULL AND finished IS NULL"):
        if time.monotonic() > end:
            return  # it was killed before it could ask
        time.sleep(0.05)


def warm(folder: Path) -> int:
    ledger = Ledger(folder / "state" / "ledger.sqlite")
    found = len(ledger.read("SELECT 1 FROM jobs WHERE native_id LIKE 'standby %'"))
    ledger.close()
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return play(tmp_path_factory.mktemp("uninterrupted") / "run", {})


def test_pilots_do_the_same_work(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    compare(play(tmp_path / "run", {}, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)
    assert warm(tmp_path / "run")


@pytest.mark.parametrize("point", POINTS)
def test_the_dispatcher_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}
    early = point.startswith("standby.pilot")
    wish = {"policy": WHEN_NEEDED} if early else {"policy": POLICY, "before": pilot_is_ready}
    compare(play(tmp_path / "run", environment, settings=PILOTS, **wish), uninterrupted)  # type: ignore[arg-type]


@pytest.mark.parametrize("point", ["job.localize.started", "job.localize.before_result", "job.localize.after_result"])
def test_the_child_of_a_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)


@pytest.mark.parametrize("point", ["pilot.claimed", "pilot.forked", "pilot.child_ended", "pilot.delivered"])
def test_the_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)
