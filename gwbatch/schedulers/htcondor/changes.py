"""The effect of log events on a job's record, robust against repeated, late and missing events."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import IntEnum
from typing import Any

from gwbatch.model import JobState
from gwbatch.schedulers.htcondor import holds
from gwbatch.schedulers.htcondor.events import LogEvent
from gwbatch.schedulers.records import JobRecord


class Kind(IntEnum):
    """HTCondor's numbers for the events that tell a job's state."""

    SUBMIT = 0
    EXECUTE = 1
    EVICTED = 4
    TERMINATED = 5
    SHADOW_EXCEPTION = 7
    ABORTED = 9
    SUSPENDED = 10
    UNSUSPENDED = 11
    HELD = 12
    RELEASED = 13
    DISCONNECTED = 22
    RECONNECTED = 23
    RECONNECT_FAILED = 24


NOTE = "gwbatch "  # the beginning of submit_event_notes


def key_of(event: LogEvent) -> str | None:
    """Return the job key that a SUBMIT event carries in its notes."""
    notes = [line.removeprefix(NOTE) for line in event.body if line.startswith(NOTE)]
    return notes[0] if notes else None


ENDS = (Kind.TERMINATED, Kind.ABORTED)


def follow(record: JobRecord, event: LogEvent, now: float) -> JobRecord:
    """Return the record after one more event, read at the steady time `now` (s).

    An end counts even if it seems older than what is known, because somebody may have set the submit host's clock.
    """
    if record.state.final or (event.time < record.event_time and event.number not in ENDS):
        return record
    changes = _changes(record, event)
    return record if changes is None else replace(record, event_time=event.time, learned=now, **changes)


def _changes(record: JobRecord, event: LogEvent) -> dict[str, Any] | None:
    match event.number:
        case Kind.EXECUTE:
            return {
                "state": JobState.RUNNING,
                "reason": "",
                "host": _host(event),
                "cores": _cores(event) or record.cores,
                "started": event.time,
            }
        case Kind.EVICTED:
            return {"state": JobState.QUEUED, "reason": f"evicted from {record.host or 'its node'}", "started": None}
        case Kind.TERMINATED:
            return _ended(event)
        case Kind.SHADOW_EXCEPTION:
            return {"state": JobState.QUEUED, "reason": " ".join(("its shadow failed:", *event.body[:1]))}
        case Kind.ABORTED:
            how = event.body[0] if event.body else "without a reason"
            return {"state": JobState.FAILED, "reason": f"removed from the queue: {how}", "finished": event.time}
        case Kind.SUSPENDED:
            return {"reason": "suspended"}
        case Kind.HELD:
            code = re.search(r"Code (\d+)", " ".join(event.body))
            reason = event.body[0] if event.body else "without a reason"
            return held(reason, int(code[1]) if code else None)
        case Kind.RELEASED:
            return {"state": JobState.QUEUED, "reason": "released"}
        case Kind.DISCONNECTED:
            return {"reason": " ".join(("disconnected, trying to reconnect:", *event.body[:1]))}
        case Kind.UNSUSPENDED | Kind.RECONNECTED:
            return {"reason": ""}
        case Kind.RECONNECT_FAILED:
            return {"state": JobState.QUEUED, "reason": " ".join(("lost its node:", *event.body[:1]))}
        case _:
            return None


def _ended(event: LogEvent) -> dict[str, Any]:
    text = " ".join(event.body)
    normal = re.search(r"return value (-?\d+)", text)
    signal = re.search(r"signal (\d+)", text)
    return {**ending(int(normal[1]) if normal else None, int(signal[1]) if signal else None), "finished": event.time}


def held(reason: str, code: int | None) -> dict[str, Any]:
    """Return the changes to the record of a job that is held."""
    return {"state": JobState.HELD, "reason": f"held: {reason} (code {code})", "remedy": holds.remedy(code)}


def ending(exit_code: int | None, signal: int | None) -> dict[str, Any]:
    """Return the changes to the record of a job that ended with this exit code, or was killed by this signal."""
    if exit_code == 0:
        return {"state": JobState.DONE, "reason": "", "exit_code": 0}
    if exit_code is not None:
        return {"state": JobState.FAILED, "reason": f"exit code {exit_code}", "exit_code": exit_code}
    reason = f"killed by signal {signal}" if signal else "ended in an unknown way"
    return {"state": JobState.FAILED, "reason": reason, "exit_code": -signal if signal else None}


def _host(event: LogEvent) -> str:
    slot = next((line.rpartition("@")[2] for line in event.body if line.startswith("SlotName:")), "")
    if slot:
        return slot
    alias = re.search(r"alias=([^&>]+)", event.text) or re.search(r"<([^:>?]+)", event.text)
    return alias[1] if alias else ""


def _cores(event: LogEvent) -> int | None:
    cores = next((line for line in event.body if line.startswith("Cpus = ")), "")
    digits = cores.removeprefix("Cpus = ")
    return int(digits) if digits.isdecimal() else None
