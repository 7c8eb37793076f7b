"""The interface of every batch system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gwbatch.errors import GwbatchError
from gwbatch.model import JobRequest, JobStatus


class SchedulerError(GwbatchError):
    """The batch system permanently refused a job."""


class SchedulerBusy(SchedulerError):
    """The batch system did not answer; whether it took the job is unknown."""

    transient = True


class Scheduler(Protocol):
    """A batch system.  It identifies a job by the key of the attempt, which it keeps in its own record of the job."""

    name: str

    def submit(self, request: JobRequest) -> str:
        """Submit a job whose directory is ready; return the scheduler's own name for it.

        Raises
        ------
        SchedulerError
            With ``transient`` set if the outcome is unknown; the caller must then try `find` before submitting again.
        """
        ...

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        """Look jobs up by key, after a lost reply or a restart; unknown ones are absent from the result."""
        ...

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        """Return the status of these jobs, cheaply (from an event log, or with one batched query).

        A key that the scheduler definitely does not know is reported as LOST; without an answer, it is UNKNOWN.
        """
        ...

    def cancel(self, key: str) -> None:
        """Cancel a job; do nothing if it has ended."""
        ...

    def release(self, key: str) -> None:
        """Release a held job."""
        ...

    def describe(self, request: JobRequest) -> str:
        """Return exactly what `submit` would send, for ``--dry-run``."""
        ...

    def close(self) -> None:
        """Free resources; jobs keep running."""
        ...
