"""Pilots in virtual time, which keep the standby folder's protocol, so that the real scheduler and keeper use them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gwbatch.clock import Clock
from gwbatch.config.standby import StandbySettings
from gwbatch.jobs.standby.layout import INBOX, ORDERS, PILOTS, TAKEN, Beat, Orders, Task, decoded, pilot_name
from gwbatch.model import JobRequest
from gwbatch.simulation.pool import PoolScheduler, drawing


@dataclass
class _Pilot:
    job: str
    name: str
    host: str
    ready: float
    accounted: float
    last_task: float
    tasks: dict[str, float] = field(default_factory=dict)  # by name: Unix time of the start (s)
    leaving: bool = False
    beats: int = 0
    done: int = 0
    idle: float = 0.0
    busy: float = 0.0


class SimulatedPilots:
    """The pilots of one queue, and the bell that reaches them.

    Parameters
    ----------
    folder : Path
        The standby folder.
    work : callable
        Called with the request, start and end (Unix s) when a task has ended, to write the job's results.
    """

    def __init__(
        self, queue: str, folder: Path, settings: StandbySettings, pool: PoolScheduler, clock: Clock,
        work: Callable[[JobRequest, float, float], None],
    ) -> None:  # fmt: skip
        self._queue, self._folder, self._settings = queue, folder, settings
        self._pool, self._clock, self._work = pool, clock, work
        self._draw = drawing(random.Random(f"pilots of {queue}"))
        self._pilots: dict[str, _Pilot] = {}  # by the key of the pilot's batch job

    @property
    def is_busy(self) -> bool:
        """Whether a pilot is working on a task."""
        return any(pilot.tasks for pilot in self._pilots.values())

    def begin(self, job: str, host: str, now: float) -> None:
        """Let a pilot's batch job start; it is ready once it has imported everything."""
        name, ready = pilot_name(job, now), now + self._pool.pool.imports
        self._pilots[job] = pilot = _Pilot(job, name, host, ready, ready, ready)
        self._pool.at(ready, lambda at: self._tell(pilot, at))

    def end(self, job: str) -> None:
        """End a pilot, because it leaves or because its batch job was preempted or cancelled."""
        pilot = self._pilots.pop(job, None)
        if pilot is not None:
            (self._folder / PILOTS / f"{pilot.name}.json").unlink(missing_ok=True)

    def ring(self, pilot: Beat, name: str, seconds: float) -> str:
        """Let a pilot claim a task; it ends after a random run time without the time that imports take."""
        now, free = self._clock.now(), self._pilots.get(pilot.job)
        if free is None or not self._room(free):
            return ""
        try:
            claim = (self._folder / INBOX / name).rename(self._folder / TAKEN / f"{name}.{free.name}")
        except FileNotFoundError:
            return ""  # not a task: the dispatcher only tests the bell
        task = decoded(claim.read_bytes(), Task)
        assert task is not None
        pool = self._pool.pool
        started = now + self._draw(pool.start_warm)
        run = self._pool.run_time(task.kind, task.key, self._draw)
        self._account(free, now)
        free.tasks[name] = started
        self._pool.at(started + max(run - pool.imports, 0.1 * run), lambda at: self._finish(free, name, task, at))
        self._tell(free, now)
        return ""

    def live(self, now: float) -> None:
        """Send the heartbeats of all pilots, and let those leave that must."""
        for pilot in [*self._pilots.values()]:
            if pilot.ready <= now:
                self._tell(pilot, now)
                self._leave_if_due(pilot, now)

    def _finish(self, pilot: _Pilot, name: str, task: Task, at: float) -> None:
        if self._pilots.get(pilot.job) is not pilot:
            return  # the pilot has ended meanwhile, and its task with it
        request = JobRequest(
            task.key, task.kind, self._queue, Path(task.directory), tuple(task.inputs), tuple(task.outputs)
        )
        self._work(request, pilot.tasks[name], at)
        self._account(pilot, at)
        del pilot.tasks[name]
        pilot.done, pilot.last_task = pilot.done + 1, at
        self._tell(pilot, at)

    def _leave_if_due(self, pilot: _Pilot, now: float) -> None:
        orders = decoded((self._folder / ORDERS).read_bytes(), Orders) if (self._folder / ORDERS).exists() else None
        ordered = orders is not None and pilot.job in orders.leave
        limits = self._settings
        waited = bool(limits.idle_limit) and not pilot.tasks and now - pilot.last_task >= limits.idle_limit
        is_old = now - pilot.ready >= limits.lifetime or pilot.done >= limits.tasks_limit
        pilot.leaving = pilot.leaving or ordered or waited or is_old
        if pilot.leaving and not pilot.tasks:
            self._pool.finish(pilot.job, now)
            self.end(pilot.job)

    def _room(self, pilot: _Pilot) -> int:
        ready = pilot.ready <= self._clock.now() and not pilot.leaving
        return max(0, self._settings.room - len(pilot.tasks)) if ready else 0

    def _account(self, pilot: _Pilot, now: float) -> None:
        passed, pilot.accounted = now - pilot.accounted, now
        if pilot.tasks:
            pilot.busy += passed
        else:
            pilot.idle += passed

    def _tell(self, pilot: _Pilot, now: float) -> None:
        self._account(pilot, now)
        pilot.beats += 1
        beat = Beat(
            pilot.name, pilot.job, pilot.beats, dict(pilot.tasks), self._room(pilot), pilot.leaving, pilot.host, 0, 1,
            pilot.ready, pilot.idle, pilot.busy, pilot.done,
        )  # fmt: skip
        (self._folder / PILOTS / f"{pilot.name}.json").write_bytes(msgspec.json.encode(beat))
