"""What every batch system offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gwbatch.errors import GwbatchError
from gwbatch.model import JobRequest, JobStatus


class SchedulerError(GwbatchError):
    """The batch system refused a job for good."""


class SchedulerBusy(SchedulerError):
    """The batch system did not answer; whether it took the job is unknown."""

    transient = True


class Scheduler(Protocol):
    """A batch system.  Jobs are known by the key of their attempt, which travels in its own record of them."""

    name: str

    def submit(self, request: JobRequest) -> str:
        """Hand over a job whose directory is ready; returns the scheduler's own name for it.

        Raises
        ------
        SchedulerError
            With ``transient`` set when the outcome is unknown: then `find` is asked before submitting again.
        """
        ...

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        """Ask for jobs by key, after a lost reply or a restart; those it does not know are absent."""
        ...

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        """Return what is known of these jobs, cheaply (from an event log, or one batched query).

        A key that the scheduler certainly does not know is reported LOST; no answer is UNKNOWN.
        """
        ...

    def cancel(self, key: str) -> None:
        """Take a job back; no error when it has ended."""
        ...

    def release(self, key: str) -> None:
        """Let a held job go on."""
        ...

    def describe(self, request: JobRequest) -> str:
        """Return exactly what `submit` would send, for ``--dry-run``."""
        ...

    def close(self) -> None:
        """Let go of resources; jobs go on."""
        ...
