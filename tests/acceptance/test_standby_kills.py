"""Kills (SIGKILL) of a dispatcher, its pilots and their jobs: the final state is that of a run without kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.kill_scenarios import compare, play
from tests.acceptance.standby_kills import pilot_is_ready, run_kills, warm

PILOTS = ['standby.openmp.kinds=["localize"]', "standby.openmp.orphaned_after=20"]
POLICY = "[standby.openmp]\npilots = 1\n"
WHEN_NEEDED = "[standby.openmp]\nafter_alert = 1\n"
POINTS = [
    "standby.pilot_planned", "standby.pilot_submitted", "standby.before_offer", "standby.offered", "standby.claimed",
    "watcher.done_committed",
]  # fmt: skip
CHILD_POINTS = ["job.localize.started", "job.localize.after_result"]
PILOT_POINTS = ["pilot.claimed", "pilot.child_ended", "pilot.delivered"]


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


@pytest.mark.parametrize("point", CHILD_POINTS)
def test_the_child_of_a_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)


@pytest.mark.parametrize("point", PILOT_POINTS)
def test_the_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_random_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    slow = 'scheduler.environment.GWBATCH_TEST_SECONDS="2"'
    run_kills(tmp_path, "local", [*PILOTS, slow], POLICY)
