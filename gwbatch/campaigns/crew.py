"""The science processes of one node, which take tasks and return outcomes without blocking the caller."""

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

RECYCLED_AFTER = 300  # events, because the memory of a process grows
# A process is killed after the larger of SHORTEST_LIMIT (s) and TIMES_PREDICTED times the predicted time.
SHORTEST_LIMIT, TIMES_PREDICTED = 600.0, 10.0
LAST_LINES = 3
# Prefixes of the variables that MPI launchers set. A child that sees them may abort, crash or hang.
LAUNCHERS = ("PMI", "PMIX", "OMPI", "PRTE", "HYDRA", "HYDI", "MPI", "MPICH", "I_MPI", "SLURM_MPI")


@dataclass
class _Child:
    """A science process and its current task."""

    process: subprocess.Popen[bytes]
    answers: IO[bytes]
    log: Path
    limited: bool
    shares: int
    task: Task | None = None
    started: float = 0.0
    events: int = 0
    read: bytes = b""
    killed_because: str = ""


class Crew:
    """A set of science processes, each working on one event at a time.

    Parameters
    ----------
    products : sequence of str
        Products whose modules each process imports at its start.
    size : int
        Number of processes.
    threads : int
        OpenMP threads per process, and per share of a task.
    memory : float
        Memory limit of each process in MB, lifted for a task that runs alone; 0: no limit.
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
        """The number of tasks here, queued or running."""
        return len(self._spare) + self.working

    @property
    def working(self) -> int:
        """The number of tasks that are running."""
        return sum(child is not None and child.task is not None for child in self._children)

    @property
    def pids(self) -> list[int]:
        """The process IDs of the running processes."""
        return [child.process.pid for child in self._children if child is not None]

    def give(self, task: Task) -> None:
        """Queue a task until a process is free."""
        self._spare.append(task)

    def take_back(self) -> list[Task]:
        """Return the tasks that have not started, and forget them."""
        tasks = list(self._spare)
        self._spare.clear()
        return tasks

    def poll(self) -> list[Outcome]:
        """Return the outcomes since the last call, and start the tasks that can start."""
        outcomes = [
            outcome
            for number, child in enumerate(self._children)
            if child is not None
            for outcome in self._look_at(number, child)
        ]
        self._start_tasks()
        return outcomes

    def close(self) -> list[Task]:
        """Kill all processes and return the tasks that were here."""
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
        """Return the number of an idle or unstarted process; for a task that runs alone, only when all are free."""
        free = [number for number, child in enumerate(self._children) if child is None or child.task is None]
        if task.alone:
            return free[0] if len(free) == self.size else None
        if any(child is not None and child.task is not None and child.task.alone for child in self._children):
            return None
        # Prefer a process that already exists, because it has finished its imports.
        return min(free, key=lambda number: self._children[number] is None, default=None)

    def _hand(self, number: int, task: Task) -> None:
        child = self._children[number]
        limited = bool(self._memory) and not task.alone
        fits = child is not None and (child.limited, child.shares) == (limited, task.shares)
        if child is not None and (not fits or child.events >= RECYCLED_AFTER):
            self._end(child)
            child = None
        if child is None:
            child = self._children[number] = self._new(number, limited=limited, shares=task.shares)
        child.task, child.started, child.events = task, time.monotonic(), child.events + 1
        self._send(child, msgspec.json.encode(task))

    def _new(self, number: int, *, limited: bool, shares: int) -> _Child:
        log = self._logs / f"{number}.log"
        kept = {key: value for key, value in children.environment().items() if not key.startswith(LAUNCHERS)}
        threads = str(self._threads * shares)
        log.unlink(missing_ok=True)
        with log.open("ab") as printed:  # appending, because the process truncates it before each event
            process = subprocess.Popen(
                children.python("gwbatch.campaigns.child"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                env=kept | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MPLBACKEND": "Agg"},
                start_new_session=True,  # Ctrl-C must reach only this process
            )
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        child = _Child(process, process.stdout, log, limited, shares)
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
            pass  # the process is dead, which `poll` will report

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
                os.kill(child.process.pid, signal.SIGKILL)  # Popen.kill could reap the process before os.wait4 does
        return outcomes

    @staticmethod
    def _read(child: _Child) -> list[Outcome]:
        """Return the complete answers that a process has written."""
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
        reason = child.killed_because or f"its process died ({how}, peak memory {peak:.0f} MB)"
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
