"""The science processes of one node: tasks in, outcomes out, without ever waiting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from gwbatch import children
from gwbatch.campaigns.child import Setup
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.tasks import Outcome, Task

RECYCLED_AFTER = 300  # events: a process grows
SHORTEST_LIMIT, TIMES_PREDICTED = 600.0, 10.0  # s; a process that takes longer is killed
LAST_LINES = 3
# What an MPI launcher leaves in the environment: a child that believes in it aborts, crashes or hangs.
LAUNCHERS = ("PMI", "PMIX", "OMPI", "PRTE", "HYDRA", "HYDI", "MPI", "MPICH", "I_MPI", "SLURM_MPI")


@dataclass
class _Child:
    """One process."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    log: Path
    limited: bool
    task: Task | None = None
    started: float = 0.0
    events: int = 0
    read: bytes = b""
    killed_because: str = ""


class Crew:
    """A number of science processes, each with one event at a time.

    Parameters
    ----------
    products : sequence of str
        What they have imported.
    size : int
        How many.
    threads : int
        OpenMP threads of each.
    memory : float
        MB that each may have, but for a task that runs alone; 0: no limit.
    """

    def __init__(
        self,
        folder: Folder,
        settings: CampaignSettings,
        products: Sequence[str],
        name: str,
        *,
        size: int,
        threads: int = 1,
        memory: float = 0.0,
    ) -> None:
        self.name, self.size = name, size
        self._folder, self._settings, self._products = folder, settings, list(products)
        self._threads, self._memory = threads, memory
        self._children: list[_Child | None] = [None] * size
        self._spare: deque[Task] = deque()
        self._unfinished = folder.unfinished / name
        self._logs = folder.logs / name
        self._logs.mkdir(parents=True, exist_ok=True)

    @property
    def holding(self) -> int:
        """How many tasks are here."""
        return len(self._spare) + self.working

    @property
    def working(self) -> int:
        """How many are being worked at."""
        return sum(child is not None and child.task is not None for child in self._children)

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [child.process.pid for child in self._children if child is not None]

    def give(self, task: Task) -> None:
        """Take a task; it waits here until a process is free."""
        self._spare.append(task)

    def take_back(self) -> list[Task]:
        """Give back what nobody has begun."""
        tasks = list(self._spare)
        self._spare.clear()
        return tasks

    def poll(self) -> list[Outcome]:
        """Return what has ended since, and start what can be started."""
        outcomes = [
            outcome
            for number, child in enumerate(self._children)
            if child is not None
            for outcome in self._look_at(number, child)
        ]
        self._start_tasks()
        return outcomes

    def close(self) -> list[Task]:
        """End all processes at once; returns the tasks that were here."""
        tasks = [child.task for child in self._children if child is not None and child.task is not None]
        for child in filter(None, self._children):
            child.process.kill()
        for child in filter(None, self._children):
            child.process.wait()
            child.answers.close()
        self._children = [None] * self.size
        shutil.rmtree(self._unfinished, ignore_errors=True)
        return tasks + self.take_back()

    # ---- starting -------------------------------------------------------------------------------------------------

    def _start_tasks(self) -> None:
        while self._spare:
            task = self._spare[0]
            number = self._place_for(task)
            if number is None:
                return
            self._spare.popleft()
            self._hand(number, task)

    def _place_for(self, task: Task) -> int | None:
        """Return a process that is free or could be started; for a task that runs alone, once all are free."""
        free = [number for number, child in enumerate(self._children) if child is None or child.task is None]
        if task.alone:
            return free[0] if len(free) == self.size else None
        if any(child is not None and child.task is not None and child.task.alone for child in self._children):
            return None
        # A process that is running already has its imports behind it.
        return min(free, key=lambda number: self._children[number] is None, default=None)

    def _hand(self, number: int, task: Task) -> None:
        child = self._children[number]
        limited = bool(self._memory) and not task.alone
        if child is not None and (child.limited != limited or child.events >= RECYCLED_AFTER):
            self._end(child)
            child = None
        if child is None:
            child = self._children[number] = self._new(number, limited=limited)
        child.task, child.started, child.events = task, time.monotonic(), child.events + 1
        self._send(child, msgspec.json.encode(task))

    def _new(self, number: int, *, limited: bool) -> _Child:
        log = self._logs / f"{number}.log"
        kept = {key: value for key, value in children.environment().items() if not key.startswith(LAUNCHERS)}
        threads = str(self._threads)
        log.unlink(missing_ok=True)
        with log.open("ab") as printed:  # the process truncates it
            process = subprocess.Popen(
                children.python("gwbatch.campaigns.child"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=kept | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MPLBACKEND": "Agg"},
                start_new_session=True,  # Ctrl-C is for us
            )
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        child = _Child(process, process.stdout, log, limited)
        memory = self._memory if limited else 0.0
        setup = Setup(str(self._folder.path), self.name, self._settings, self._products, os.getpid(), memory)
        self._send(child, msgspec.json.encode(setup))
        return child

    @staticmethod
    def _send(child: _Child, line: bytes) -> None:
        assert child.process.stdin is not None
        try:
            child.process.stdin.write(line + b"\n")
            child.process.stdin.flush()
        except BrokenPipeError:
            pass  # it is dead: `poll` says so

    # ---- ending ---------------------------------------------------------------------------------------------------

    def _look_at(self, number: int, child: _Child) -> list[Outcome]:
        outcomes = self._read(child)
        ended, status, usage = os.wait4(child.process.pid, os.WNOHANG)
        if ended:
            child.process.returncode = os.waitstatus_to_exitcode(status)
            outcomes += self._read(child)
            if child.task is not None:
                outcomes.append(self._died(child, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime))
            self._forget(number, child)
        elif child.task is not None and not child.killed_because:
            limit = max(SHORTEST_LIMIT, TIMES_PREDICTED * child.task.predicted)
            if time.monotonic() - child.started > limit:
                child.killed_because = f"it took longer than {limit:.0f} s"
                os.kill(child.process.pid, signal.SIGKILL)  # Popen.kill would take its exit code away from us
        return outcomes

    @staticmethod
    def _read(child: _Child) -> list[Outcome]:
        """Read the answers that are complete."""
        try:
            child.read += child.answers.read() or b""
        except BlockingIOError:
            return []
        *lines, child.read = child.read.split(b"\n")
        outcomes = []
        for line in lines:
            try:
                outcome = msgspec.json.decode(line, type=Outcome)
            except msgspec.DecodeError:
                continue
            if child.task is not None and outcome.id == child.task.id:
                outcomes.append(outcome)
                child.task = None
        return outcomes

    @staticmethod
    def _died(child: _Child, peak: float, cpu: float) -> Outcome:
        assert child.task is not None
        code = child.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        printed = child.log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:]
        reason = child.killed_because or f"its process ended ({how}, {peak:.0f} MB at most)"
        if printed:
            reason += f"; last printed: {' | '.join(printed)}"
        return Outcome(
            child.task.id, "died", reason, {}, cpu, time.monotonic() - child.started, peak, os.uname().nodename
        )

    def _forget(self, number: int, child: _Child) -> None:
        child.answers.close()
        if child.process.stdin is not None:
            try:
                child.process.stdin.close()
            except BrokenPipeError:
                pass
        for draft in self._unfinished.glob(f"{child.process.pid}-*"):
            draft.unlink(missing_ok=True)
        self._children[number] = None

    def _end(self, child: _Child) -> None:
        child.process.kill()
        child.process.wait()
        self._forget(self._children.index(child), child)
