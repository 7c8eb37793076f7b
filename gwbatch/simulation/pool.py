"""A batch system in virtual time, with nodes, other users' jobs on them, and a queue of our jobs."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from gwbatch.clock import Clock
from gwbatch.jobs.standby.pilot import KIND as PILOT
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.simulation.scenario import HOUR, Pool, Seconds

WHOLE = "openmp"
SUBMIT_HOST = "submit-host"
Draw = Callable[[Seconds], float]


def drawing(chance: random.Random) -> Draw:
    """Return a function that draws a random duration (s)."""

    def draw(duration: Seconds) -> float:
        if duration.measured:
            return chance.choice(duration.measured)
        return duration.median * math.exp(chance.gauss(0.0, math.log(max(1.0, duration.spread))))

    return draw


@dataclass
class _Job:
    request: JobRequest
    submitted: float
    runs_for: float
    state: JobState = JobState.QUEUED
    host: str = ""
    started: float | None = None
    finished: float | None = None
    turn: int = 0  # increased when the job is preempted or cancelled, so that events planned before are ignored


@dataclass(frozen=True)
class Moment:
    """The numbers of waiting and running whole-node jobs from a time (s) on."""

    at: float
    waiting: int
    running: int


class Crew(Protocol):
    """The pilots of one queue, as the pool sees them."""

    @property
    def is_busy(self) -> bool:
        """Whether a pilot is working on a task."""
        ...

    def begin(self, job: str, host: str, now: float) -> None:
        """Let a pilot's batch job start."""
        ...

    def end(self, job: str) -> None:
        """End a pilot whose batch job does not run any more."""
        ...


@dataclass
class PoolScheduler:
    """The pool, with the scheduler interface that the dispatcher uses.

    Attributes
    ----------
    work : callable
        Called with the request, start and end (Unix s) when a job has ended, to write the job's results.
    history : list of Moment
        The queue of whole-node jobs over time.
    crews : dict of str to Crew
        The pilots of each queue that has them.
    detectors : callable
        Called with a job's key; returns the detectors of its event, e.g. ``H1,L1``, or an empty text.
    """

    pool: Pool
    clock: Clock
    chance: random.Random
    work: Callable[[JobRequest, float, float], None]
    name: str = "simulated"
    history: list[Moment] = field(default_factory=list)
    crews: dict[str, Crew] = field(default_factory=dict)
    detectors: Callable[[str], str] = lambda key: ""

    def __post_init__(self) -> None:
        self._node_seconds = 0.0
        self._draw = drawing(self.chance)
        self._jobs: dict[str, _Job] = {}
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._free = [f"node{number}" for number in range(self.pool.nodes)]
        self._slots, self._waiting, self._running = self.pool.slots, 0, 0
        self._eligible: list[tuple[int, int, _Job]] = []
        self._others: list[tuple[int, int, _Job]] = []
        if self.pool.load:
            for node in list(self._free):
                self._others_come(node, self.chance.random() < self.pool.load)

    # ---- the scheduler interface -------------------------------------------------------------------------------

    def submit(self, request: JobRequest) -> str:
        runs_for = self.run_time(request.kind, request.key, self._draw)
        job = self._jobs[request.key] = _Job(request, self.clock.now(), runs_for)
        self._wait(job, self.clock.now())
        return f"sim-{len(self._jobs)}"

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        self.pass_time()
        return {key: self._report(key) for key in keys if key in self._jobs}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        self.pass_time()
        lost = {key: JobStatus(key, JobState.LOST, reason="unknown job") for key in keys if key not in self._jobs}
        return {**lost, **{key: self._report(key) for key in keys if key in self._jobs}}

    def cancel(self, key: str) -> None:
        job = self._jobs.get(key)
        if job is not None and _is_open(job):
            if job.state is JobState.RUNNING:
                self._leave(job, self.clock.now())
            else:
                self._waiting -= _is_whole(job)
            job.state, job.turn = JobState.CANCELLED, job.turn + 1
            self._match(self.clock.now())
            self._note(self.clock.now())

    def release(self, key: str) -> None:
        """Do nothing, because this pool never holds a job."""

    def describe(self, request: JobRequest) -> str:
        return f"simulated job {request.key}: {request.kind} in {request.directory}\n"

    def close(self) -> None:
        """Do nothing, because there is nothing to close."""

    def finish(self, key: str, now: float) -> None:
        """End a running job that decides itself when it ends, as pilots do."""
        self._leave(self._jobs[key], now)
        self._jobs[key].state, self._jobs[key].finished = JobState.DONE, now
        self._jobs[key].turn += 1
        self._match(now)
        self._note(now)

    def run_time(self, kind: str, key: str, draw: Draw) -> float:
        """Draw how long a job of this kind and key runs (s)."""
        run = self.pool.run
        like_it = run.get(f"{kind} {self.detectors(key)}") or run.get(kind) or self.pool.run_others
        return draw(like_it)

    @property
    def node_seconds(self) -> float:
        """Seconds for which our jobs have occupied whole nodes, summed over nodes."""
        running = [job for job in self._jobs.values() if job.state is JobState.RUNNING and _is_whole(job)]
        return self._node_seconds + sum(self.clock.now() - (job.started or self.clock.now()) for job in running)

    # ---- time --------------------------------------------------------------------------------------------------

    def next_moment(self) -> float | None:
        """Return the time of the pool's next event (Unix s), or None if no job of ours is queued or running."""
        return self._events[0][0] if self._events and any(map(_is_open, self._jobs.values())) else None

    @property
    def is_busy(self) -> bool:
        """Whether a job is queued or running, or a pilot is working; idle pilots do not count."""
        open_jobs = (job for job in self._jobs.values() if job.request.kind != PILOT and _is_open(job))
        return any(open_jobs) or any(crew.is_busy for crew in self.crews.values())

    def pass_time(self) -> None:
        """Let everything happen in the pool that is due."""
        while self._events and self._events[0][0] <= self.clock.now():
            at, _, happen = heapq.heappop(self._events)
            happen(at)

    def at(self, moment: float, happen: Callable[[float], None]) -> None:
        """Call this function at that time (Unix s)."""
        heapq.heappush(self._events, (moment, next(self._order), happen))

    # ---- jobs --------------------------------------------------------------------------------------------------

    def _wait(self, job: _Job, now: float) -> None:
        """Queue a job, which becomes eligible for a node or slot after the batch system's start delay."""
        job.state, job.started, turn = JobState.QUEUED, None, job.turn
        self._waiting += _is_whole(job)
        delay = self._draw(self.pool.start if _is_whole(job) else self.pool.start_others)

        def eligible(at: float) -> None:
            if job.turn == turn:
                queue = self._eligible if _is_whole(job) or not self.pool.slots else self._others
                heapq.heappush(queue, (-job.request.priority, next(self._order), job))
                self._match(at)

        self.at(now + delay, eligible)
        self._note(now)

    def _match(self, now: float) -> None:
        while self._free and (job := _first(self._eligible)) is not None:
            self._run(job, self._free.pop(), now)
        while self._slots and (job := _first(self._others)) is not None:
            self._slots -= 1
            self._run(job, SUBMIT_HOST, now)

    def _run(self, job: _Job, host: str, now: float) -> None:
        job.state, job.host, job.started = JobState.RUNNING, host, now
        self._waiting, self._running = self._waiting - _is_whole(job), self._running + _is_whole(job)
        is_pilot = job.request.kind == PILOT
        if is_pilot:
            self.crews[job.request.queue].begin(job.request.key, host, now)
        turn, rate = job.turn, self.pool.preempted / HOUR
        runs_for = math.inf if is_pilot else job.runs_for
        thrown_off = self.chance.expovariate(rate) if rate and _is_whole(job) else math.inf

        def over(at: float) -> None:
            if job.turn != turn:
                return
            self._leave(job, at)
            if thrown_off < runs_for:
                job.turn += 1
                self._wait(job, at)
            else:
                job.state, job.finished = JobState.DONE, at
                self.work(job.request, job.started or at, at)
            self._match(at)
            self._note(at)

        if min(runs_for, thrown_off) < math.inf:
            self.at(now + min(runs_for, thrown_off), over)
        self._note(now)

    def _leave(self, job: _Job, now: float) -> None:
        if job.request.kind == PILOT:
            self.crews[job.request.queue].end(job.request.key)
        if _is_whole(job):
            self._running -= 1
            self._node_seconds += now - (job.started or now)
        if job.host == SUBMIT_HOST:
            self._slots += 1
        else:
            self._free.append(job.host)

    def _others_come(self, node: str, are_there: bool) -> None:
        """Let other users take a free node and give it back, so that they have it for the fraction `load` of the time.

        They keep it for `load_length` seconds on average.
        """
        away = self.pool.load_length * (1 - self.pool.load) / self.pool.load

        def come(at: float) -> None:
            if node in self._free:
                self._free.remove(node)
                self.at(at + self.chance.expovariate(1 / self.pool.load_length), go)
            else:
                self.at(at + self.chance.expovariate(1 / away), come)

        def go(at: float) -> None:
            self._free.append(node)
            self.at(at + self.chance.expovariate(1 / away), come)
            self._match(at)

        if are_there:
            come(self.clock.now())
        else:
            self.at(self.clock.now() + self.chance.expovariate(1 / away), come)

    def _note(self, now: float) -> None:
        self.history.append(Moment(now, self._waiting, self._running))

    def _report(self, key: str) -> JobStatus:
        job = self._jobs[key]
        return JobStatus(key, job.state, f"sim-{key}", host=job.host, cores=1, started=job.started,
                         finished=job.finished)  # fmt: skip


def _is_open(job: _Job) -> bool:
    return job.state in (JobState.QUEUED, JobState.RUNNING)


def _is_whole(job: _Job) -> bool:
    return job.request.queue == WHOLE


def _first(queue: list[tuple[int, int, _Job]]) -> _Job | None:
    """Take the first job from a queue that is still waiting, if any."""
    while queue:
        _, _, job = heapq.heappop(queue)
        if job.state is JobState.QUEUED:
            return job
    return None
