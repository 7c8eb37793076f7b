"""Jobs: planned in the deciding transaction, submitted to a scheduler by an effect, followed by the watcher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.effects import Effect
from gwbatch.effects.kinds import SubmitJob
from gwbatch.ledger import effects
from gwbatch.ledger.database import Transaction, query
from gwbatch.model import JobState, JobStatus

# Orders that an operator may give for a job, each with the states in which it makes sense.
ORDERS = {
    "release": (JobState.HELD,),
    "cancel": (JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.HELD, JobState.UNKNOWN),
    "retry": (JobState.FAILED, JobState.LOST, JobState.CANCELLED),
}
FOLLOWED = (JobState.QUEUED, JobState.RUNNING, JobState.HELD, JobState.UNKNOWN)


@dataclass(frozen=True)
class Job:
    """A computation and the state of its current attempt.

    Attributes
    ----------
    request : dict
        ``inputs`` (file name to source), ``outputs``, ``parameters``, and ``product`` and ``version`` for the handler
        that takes over the result.
    """

    key: str
    kind: str
    queue: str
    subject: str
    request: dict[str, Any]
    priority: int
    attempt: int
    state: JobState
    phase: JobState | None
    native_id: str | None
    directory: str | None
    host: str | None
    reason: str | None
    created: float
    submitted: float | None
    state_since: float
    started: float | None
    finished: float | None
    result: dict[str, Any] | None
    releases: int
    avoid: tuple[str, ...]

    @property
    def attempt_key(self) -> str:
        """The permanent name of this attempt, by which the scheduler knows the job."""
        return f"{self.key}/{self.attempt}"


def orders(state: JobState) -> list[str]:
    """Return the orders that make sense for a job in this state."""
    return [name for name, states in ORDERS.items() if state in states]


_COLUMNS = ", ".join(Job.__dataclass_fields__)


def plan(
    tx: Transaction,
    key: str,
    kind: str,
    queue: str,
    subject: str,
    request: Mapping[str, Any],
    priority: int,
    now: float,
) -> Effect | None:
    """Store a job, and return the effect that submits it; None if the job is already known."""
    values = {"key": key, "kind": kind, "queue": queue, "subject": subject, "request": json.dumps(dict(request))}
    cursor = tx.execute(query("put_job"), {**values, "priority": priority, "state": JobState.WAITING, "now": now})
    return SubmitJob(key, 1, priority) if cursor.rowcount else None


def try_again(tx: Transaction, job: Job, now: float) -> None:
    """Submit the job again, and avoid the node on which the current attempt ended without a result."""
    silent = {job.host} if job.host is not None and job.result is None else set()
    avoid = sorted({*job.avoid, *silent})
    tx.execute(
        query("try_job_again"), {"key": job.key, "state": JobState.WAITING, "avoid": json.dumps(avoid), "now": now}
    )
    effects.request(tx, SubmitJob(job.key, job.attempt + 1, job.priority), now)


def wait_again(tx: Transaction, key: str, attempt: int) -> None:
    """Let a job whose submission failed wait for it again, unless there is a later attempt."""
    tx.execute("UPDATE jobs SET state = 'WAITING' WHERE state = 'FAILED' AND key = ? AND attempt = ?", (key, attempt))


def get(tx: Transaction, key: str) -> Job | None:
    """Return one job."""
    row = tx.execute(f"SELECT {_COLUMNS} FROM jobs WHERE key = ?", (key,)).fetchone()
    return None if row is None else _job(row)


def failed(tx: Transaction, subjects: list[str]) -> list[str]:
    """Return the keys of the jobs of some subjects that ended without a result."""
    return [row["key"] for row in tx.execute(query("failed_jobs"), (json.dumps(subjects),)).fetchall()]


def followed(tx: Transaction) -> list[Job]:
    """Return the jobs that a scheduler has."""
    marks = ", ".join("?" * len(FOLLOWED))
    return [
        _job(row) for row in tx.execute(f"SELECT {_COLUMNS} FROM jobs WHERE state IN ({marks})", FOLLOWED).fetchall()
    ]


def submitted(tx: Transaction, job: Job, scheduler: str, native_id: str, directory: str, now: float) -> None:
    """Note that the scheduler has the job."""
    values = {"scheduler": scheduler, "native_id": native_id, "directory": directory, "state": JobState.QUEUED}
    tx.execute(query("submitted_job"), {**values, "key": job.key, "attempt": job.attempt, "now": now})


def report(tx: Transaction, job: Job, seen: JobStatus, result: Mapping[str, Any] | None, now: float) -> bool:
    """Record the scheduler's report about the job; return False if it was cancelled or tried again meanwhile."""
    values = {
        "state": seen.state,
        "reason": seen.reason or None,
        "host": seen.host or None,
        "cores": seen.cores,
        "started": seen.started,
        "finished": (seen.finished or now) if seen.state.final else None,
        "result": None if result is None else json.dumps(dict(result)),
    }
    return tx.execute(query("report_job"), {**values, "key": job.key, "attempt": job.attempt, "now": now}).rowcount == 1


def released(tx: Transaction, job: Job, now: float) -> None:
    """Count another release of the held job."""
    tx.execute(
        "UPDATE jobs SET releases = releases + 1, state_since = ? WHERE key = ? AND attempt = ?",
        (now, job.key, job.attempt),
    )


def _job(row: Any) -> Job:
    values = dict(row)
    values["request"] = json.loads(values["request"])
    values["result"] = None if values["result"] is None else json.loads(values["result"])
    values["avoid"] = tuple(json.loads(values["avoid"]))
    values["state"] = JobState(values["state"])
    values["phase"] = None if values["phase"] is None else JobState(values["phase"])
    return Job(**values)
