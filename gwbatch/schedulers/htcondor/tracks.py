"""What the events of a job add up to: doubled, late or missing ones change nothing that is known better."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from gwbatch.model import JobReport, JobState, Remedy
from gwbatch.schedulers.htcondor import holds
from gwbatch.schedulers.htcondor.events import LogEvent


class Kind(IntEnum):
    """HTCondor's numbers of the events that say where a job stands."""

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


NOTE = "gwbatch "  # what submit_event_notes begins with


@dataclass(frozen=True)
class Track:
    """What is known of one job of the pool.

    Attributes
    ----------
    job : str
        ``cluster.proc``.
    directory : str
        The job directory, where known.
    told : float
        Unix time of the newest event; older ones that come late or again change nothing.
    seen : float
        Unix time at which we learned the newest of it.
    """

    key: str
    job: str
    state: JobState = JobState.QUEUED
    reason: str = ""
    code: int | None = None
    host: str = ""
    cores: int | None = None
    started: float | None = None
    finished: float | None = None
    exit_code: int | None = None
    directory: str = ""
    told: float = 0.0
    seen: float = 0.0

    def report(self) -> JobReport:
        """In the words of every scheduler."""
        held = self.state is JobState.HELD
        reason = f"held: {self.reason} (code {self.code})" if held else self.reason
        remedy = holds.remedy(self.code) if held else Remedy.WAIT
        return JobReport(
            self.key, self.state, self.job, reason, self.host, self.cores, self.started, self.finished,
            self.exit_code, remedy,
        )  # fmt: skip


def key_of(event: LogEvent) -> str | None:
    """The job key that a SUBMIT event carries in its notes."""
    notes = [line.removeprefix(NOTE) for line in event.body if line.startswith(NOTE)]
    return notes[0] if notes else None


def follow(track: Track, event: LogEvent, now: float) -> Track:
    """The track after one more event."""
    if track.state.final or event.time < track.told:
        return track
    changes = _changes(track, event)
    return track if changes is None else replace(track, told=event.time, seen=now, **changes)


def _changes(track: Track, event: LogEvent) -> dict[str, Any] | None:
    match event.number:
        case Kind.EXECUTE:
            return {
                "state": JobState.RUNNING,
                "reason": "",
                "host": _host(event),
                "cores": _cores(event) or track.cores,
                "started": event.time,
            }
        case Kind.EVICTED:
            return {"state": JobState.QUEUED, "reason": f"evicted from {track.host or 'its node'}", "started": None}
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
            return {"state": JobState.HELD, "reason": reason, "code": int(code[1]) if code else None}
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


def ending(exit_code: int | None, signal: int | None) -> dict[str, Any]:
    """How a job ended, from its exit code or the signal that killed it."""
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
