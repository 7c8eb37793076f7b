"""A batch system that follows a script, timed by a clock that tests can advance.

It serves to test everything above the schedulers, and to simulate a pool's queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gwbatch.clock import Clock
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers.base import SchedulerBusy


@dataclass(frozen=True)
class Step:
    """A state that a job enters `after` seconds after its submission."""

    after: float
    state: JobState
    reason: str = ""


WELL = (Step(0, JobState.QUEUED), Step(1, JobState.RUNNING), Step(2, JobState.DONE))


@dataclass
class _Job:
    request: JobRequest
    submitted: float
    steps: tuple[Step, ...]
    ran: bool = False
    forced: JobStatus | None = None


@dataclass
class SimulatedScheduler:
    """A scripted batch system.

    Attributes
    ----------
    clock : Clock
        The clock that times the scripts.
    script : callable
        Returns the steps of a job; by default, the job succeeds.
    work : callable
        Called with the request when the job reaches DONE, to write its outputs and ``result.json``.
    reachable : bool
        Set to False to leave every call unanswered.
    lose_replies : int
        Number of submissions to accept while losing the reply.
    submissions : list of str
        Keys in the order in which they were accepted.
    """

    clock: Clock
    script: Callable[[JobRequest], Iterable[Step]] = lambda request: WELL
    work: Callable[[JobRequest], None] = lambda request: None
    name: str = "simulated"
    reachable: bool = True
    lose_replies: int = 0
    submissions: list[str] = field(default_factory=list)
    _jobs: dict[str, _Job] = field(default_factory=dict)

    def submit(self, request: JobRequest) -> str:
        self._answer()
        self._jobs[request.key] = _Job(request, self.clock.now(), tuple(self.script(request)))
        self.submissions.append(request.key)
        if self.lose_replies > 0:
            self.lose_replies -= 1
            raise SchedulerBusy(f"The reply to the submission of {request.key} was lost.")
        return f"sim-{len(self.submissions)}"

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        self._answer()
        return {key: self._report(key) for key in keys if key in self._jobs}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        if not self.reachable:
            return {key: JobStatus(key, JobState.UNKNOWN, reason="no answer") for key in keys}
        return {
            key: self._report(key) if key in self._jobs else JobStatus(key, JobState.LOST, reason="unknown job")
            for key in keys
        }

    def cancel(self, key: str) -> None:
        self._answer()
        if key in self._jobs:
            self._jobs[key].forced = JobStatus(key, JobState.CANCELLED, reason="cancelled")

    def release(self, key: str) -> None:
        """Drop the HELD steps of the script, so that the job continues with the others."""
        self._answer()
        job = self._jobs.get(key)
        if job is not None:
            job.steps = tuple(step for step in job.steps if step.state is not JobState.HELD)

    def forget(self, key: str) -> None:
        """Lose a job, like a batch system that crashed."""
        self._jobs.pop(key, None)

    def describe(self, request: JobRequest) -> str:
        return f"simulated job {request.key}: {request.kind} in {request.directory}\n"

    def close(self) -> None:
        """Do nothing, because there are no resources to free."""

    def _answer(self) -> None:
        if not self.reachable:
            raise SchedulerBusy("The simulated batch system does not answer.")

    def _report(self, key: str) -> JobStatus:
        job = self._jobs[key]
        if job.forced is not None:
            return job.forced
        age = self.clock.now() - job.submitted
        passed = [step for step in job.steps if step.after <= age]
        current = passed[-1] if passed else Step(0, JobState.QUEUED)
        if current.state is JobState.DONE and not job.ran:
            job.ran = True
            self.work(job.request)
        started = next((job.submitted + step.after for step in passed if step.state is JobState.RUNNING), None)
        return JobStatus(key, current.state, f"sim-{key}", current.reason, "simulated", 1, started)
