"""Kills (SIGKILL) of a dispatcher, its pilots and a batch system's daemons at random moments of a play."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from gwbatch.demo.processes import DemoProcesses
from gwbatch.ledger import Ledger
from tests.acceptance.kill_scenarios import STARTING, compare, play
from tests.clusters.waiting import until

Victims = Mapping[str, Callable[[], Iterable[psutil.Process]]]

WANTED = int(os.environ.get("GWBATCH_SOAK_KILLS", "100"))
GIVE_UP = 20.0  # s
NOBODY: Victims = MappingProxyType({})
UP = 5.0  # s that a new dispatcher is spared, because the play waits until it listens
TASK = 2.0  # s to wait for a task's process, which exists only for an instant


class Killer:
    """Kills one process of each kind, in a random order and after random pauses, chosen from a seed.

    It gives up when for `GIVE_UP` seconds there is no process of the kinds that are left.

    Parameters
    ----------
    victims : mapping
        Functions that return the batch system's processes of one kind; the first one is killed.
    restart : callable
        Called with the kind of the process that was killed, to start a daemon that nothing else starts again.
    """

    def __init__(self, seed: int, victims: Victims, restart: Callable[[str, psutil.Process], None]) -> None:
        self._chance, self._victims, self._restart = random.Random(seed), victims, restart
        self.killed: list[str] = []

    def __call__(self, stage: DemoProcesses) -> None:
        left = ["dispatcher", "pilot", "child", *self._victims]
        end = time.monotonic() + GIVE_UP
        while left and time.monotonic() < end:
            time.sleep(self._chance.uniform(0.1, 1.5))
            kind = self._chance.choice(left)
            for process in self._found(kind, stage)[:1]:
                process.kill()
                self.killed.append(kind)
                left.remove(kind)
                self._restart(kind, process)
                end = time.monotonic() + GIVE_UP

    def _found(self, kind: str, stage: DemoProcesses) -> list[psutil.Process]:
        if kind == "dispatcher":
            with STARTING:
                own = psutil.Process(stage.dispatcher.pid)
                return [own] if time.time() - own.create_time() > UP else []
        if kind == "pilot":
            return pilots(stage.folder)
        if kind == "child":
            return next((found for found in map(_child, pilots(stage.folder)) if found), [])
        return list(self._victims[kind]())


def pilots(folder: Path) -> list[psutil.Process]:
    """Return the pilots of the play in this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "jobs.runner" in words and not words.startswith("/bin/sh") and _works_for(process, folder):
            found.append(process)
    return found


def _works_for(process: psutil.Process, folder: Path) -> bool:
    try:
        text = (Path(process.cmdline()[-1]) / "job.json").read_text()
        return '"standby"' in text and str(folder) in text
    except (OSError, IndexError, psutil.Error):  # it has just ended
        return False


def _child(pilot: psutil.Process) -> list[psutil.Process]:
    end = time.monotonic() + TASK
    while time.monotonic() < end:
        try:
            if found := pilot.children():
                return found
        except psutil.Error:
            break
        time.sleep(0.001)
    return []


def pilot_is_ready(ledger: Ledger) -> None:
    """Wait until a pilot is ready, or in vain if the dispatcher was killed before it could request one."""
    end = time.monotonic() + 30
    while not ledger.read("SELECT 1 FROM pilots WHERE ready IS NOT NULL AND finished IS NULL"):
        if time.monotonic() > end:
            return
        time.sleep(0.05)


def run_kills(
    folder: Path, site: str, settings: list[str], policy: str, victims: Victims = NOBODY,
    restart: Callable[[str, psutil.Process], None] = lambda kind, process: None,
    repair: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Run plays until `WANTED` processes were killed, and compare each play with one that nothing disturbed.

    Every kind of process is killed at least once, and after each play every pilot leaves its node by itself.  Then
    `repair` is called.
    """
    wish: dict[str, Any] = {
        "site": site, "settings": settings, "policy": policy, "patience": 400.0, "before": pilot_is_ready,
    }  # fmt: skip
    expected = play(folder / "undisturbed", {}, **wish)
    total, seed = Counter[str](), 0
    while total.total() < WANTED:
        seed += 1
        killer, place = Killer(seed, victims, restart), folder / f"run{seed}"
        began = time.monotonic()
        state = play(place, {}, during=killer, **wish)
        took = time.monotonic() - began
        print(f"seed {seed}: {killer.killed}, {warm(place)} jobs done by pilots, {took:.0f} s", flush=True)
        compare(state, expected)
        total.update(killer.killed)
        until(lambda place=place: not pilots(place), 120, lambda place=place: pilots(place))  # type: ignore[misc]
        repair()
    print(dict(total))
    assert total.keys() == {"dispatcher", "pilot", "child", *victims}


def warm(folder: Path) -> int:
    """Return the number of jobs of a play that pilots have done."""
    ledger = Ledger(folder / "state" / "ledger.sqlite")
    try:
        return len(ledger.read("SELECT 1 FROM jobs WHERE state = 'DONE' AND native_id LIKE 'standby %'"))
    finally:
        ledger.close()
