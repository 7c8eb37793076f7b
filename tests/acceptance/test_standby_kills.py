"""Kills (SIGKILL) of a dispatcher, its pilots and their jobs: the final state is that of a run without kills."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from gwbatch.ledger import Ledger
from tests.acceptance.kill_scenarios import compare, play

UP = 5.0  # s that a new dispatcher is spared, because the play waits until it listens
PILOTS = ['standby.openmp.kinds=["localize"]', "standby.openmp.orphaned_after=20"]
POLICY = "[standby.openmp]\npilots = 1\n"
WHEN_NEEDED = "[standby.openmp]\nafter_alert = 1\n"
POINTS = [
    "standby.pilot_planned", "standby.pilot_submitted", "standby.before_offer", "standby.offered", "standby.claimed",
    "watcher.done_committed",
]  # fmt: skip
CHILD_POINTS = ["job.localize.started", "job.localize.after_result"]
PILOT_POINTS = ["pilot.claimed", "pilot.child_ended", "pilot.delivered"]


def pilot_is_ready(ledger: Ledger) -> None:
    end = time.monotonic() + 30
    while not ledger.read("SELECT 1 FROM pilots WHERE ready IS NOT NULL AND finished IS NULL"):
        if time.monotonic() > end:
            return  # the dispatcher was killed before it could request one
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


@pytest.mark.parametrize("point", CHILD_POINTS)
def test_the_child_of_a_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)


@pytest.mark.parametrize("point", PILOT_POINTS)
def test_the_pilot_is_killed(tmp_path: Path, uninterrupted: dict[str, Any], point: str) -> None:
    environment = {"GWBATCH_KILL_JOB_AT": f"{point}@{tmp_path}/killed"}
    compare(play(tmp_path / "run", environment, settings=PILOTS, policy=POLICY, before=pilot_is_ready), uninterrupted)


class Killer(threading.Thread):
    """A thread that kills dispatcher, pilot and child (SIGKILL) at random moments, up to eight times or until `stop`.

    Parameters
    ----------
    folder : Path
        Folder of the play, which identifies its processes.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self._folder, self._random = str(folder), random.Random(seed)
        self._over = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        while not self._over.wait(self._random.uniform(0.3, 3.0)) and len(self.killed) < 8:
            target = self._random.choice(["dispatcher", "pilot", "child"])
            found = [process for what, process in self._processes() if what == target.replace("child", "pilot")]
            if found and target == "child":
                found = self._child_of(found[0])
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in found[:1]:
                    process.kill()
                    self.killed.append(target)

    def _child_of(self, pilot: psutil.Process) -> list[psutil.Process]:
        """Return the child of a pilot, if one appears within 2 s; children exist only for an instant."""
        end = time.monotonic() + 2.0
        with contextlib.suppress(psutil.NoSuchProcess):
            while time.monotonic() < end and not self._over.is_set():
                if found := pilot.children():
                    return found
                time.sleep(0.001)
        return []

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = " ".join(process.info["cmdline"] or [])
            if self._folder not in words or words.startswith("/bin/sh"):
                continue
            if " run --site" in words and time.time() - process.create_time() > UP:
                found.append(("dispatcher", process))
            elif "jobs.runner" in words and "/standby/" in words:
                found.append(("pilot", process))
        return found


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_random_kills_lose_and_repeat_nothing(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    """Plays go on until dispatcher, pilot and child were killed ``GWBATCH_SOAK_KILLS`` (100) times in all."""
    wanted, counts, seed = int(os.environ.get("GWBATCH_SOAK_KILLS", "100")), Counter[str](), 0
    while sum(counts.values()) < wanted:
        seed += 1
        folder = tmp_path / f"run{seed}"
        killer = Killer(folder, seed)
        state = play(
            folder, {}, settings=PILOTS, policy=POLICY, patience=240.0,
            before=lambda ledger, killer=killer: (pilot_is_ready(ledger), killer.start()),  # type: ignore[misc]
        )  # fmt: skip
        killer.stop()
        counts.update(killer.killed)
        print(f"seed {seed}: {killer.killed}")
        compare(state, uninterrupted)
    assert set(counts) == {"dispatcher", "pilot", "child"}, counts
    print(dict(counts))
