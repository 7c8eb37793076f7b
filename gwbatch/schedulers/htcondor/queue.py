"""The schedd's view of this dispatcher's jobs, as records."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from gwbatch.model import JobState
from gwbatch.schedulers.htcondor.changes import ending, held
from gwbatch.schedulers.htcondor.schedd import Action, Ad, Schedd, constraint
from gwbatch.schedulers.records import JobRecord


class Status(IntEnum):
    """``JobStatus`` in a job ad."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5
    TRANSFERRING_OUTPUT = 6
    SUSPENDED = 7


class HTCondorQueue:
    """The jobs whose ad names this dispatcher; the ad also holds their key."""

    def __init__(self, schedd: Schedd, identity: str) -> None:
        self._schedd = schedd
        self._identity = identity

    def submit(self, text: str, environment: Mapping[str, str]) -> str:
        return self._schedd.submit(text)  # the submit file has the job's environment

    def jobs(self) -> list[JobRecord]:
        return [_record(ad) for ad in self._schedd.queue(constraint(GwbatchDispatcher=self._identity))]

    def details(self, record: JobRecord) -> JobRecord | None:
        """Return None, because a busy schedd needs minutes for its history, which says less than the job's result."""
        return None

    def cancel(self, native_id: str) -> None:
        self._act_on("remove", native_id)

    def release(self, native_id: str) -> None:
        self._act_on("release", native_id)

    def act(self, action: Action, key: str) -> None:
        """Remove or release every job with this key, whether or not it is known here."""
        self._schedd.act(action, constraint(GwbatchKey=key, GwbatchDispatcher=self._identity))

    def _act_on(self, action: Action, native_id: str) -> None:
        cluster, _, proc = native_id.partition(".")
        self._schedd.act(action, f"ClusterId == {int(cluster)} && ProcId == {int(proc)}")


def _record(ad: Ad) -> JobRecord:
    status = ad.get("JobStatus")
    host = str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or "").rpartition("@")[2]
    started, directory = ad.get("JobStartDate") or None, str(ad.get("Iwd") or "")
    values: dict[str, Any] = {"started": started, "host": host, "directory": directory}
    match status:
        case Status.RUNNING | Status.TRANSFERRING_OUTPUT | Status.SUSPENDED:
            values["state"] = JobState.RUNNING
        case Status.REMOVED:
            reason = ad.get("RemoveReason") or "without a reason"
            values.update(state=JobState.FAILED, reason=f"removed from the queue: {reason}")
        case Status.COMPLETED:
            signal = ad.get("ExitSignal") if ad.get("ExitBySignal") is True else None
            code = ad.get("ExitCode") if signal is None else None
            values.update(ending(code if isinstance(code, int) else None, signal))
            values["finished"] = ad.get("CompletionDate") or None
        case Status.HELD:
            values.update(held(str(ad.get("HoldReason") or "no reason"), ad.get("HoldReasonCode")))
        case _:
            values["state"] = JobState.QUEUED
    return JobRecord(str(ad.get("GwbatchKey")), f"{ad['ClusterId']}.{ad['ProcId']}", **values)
