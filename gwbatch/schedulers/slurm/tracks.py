"""What is known of one Slurm job, from slurmctld and from the job's own files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gwbatch.jobs.result import read_result
from gwbatch.model import JobReport, JobState, Remedy


@dataclass(frozen=True)
class Track:
    """One job.

    Attributes
    ----------
    requeued : float
        Unix time at which Slurm put it back into the queue: what its files said before does not count.
    ended : float or None
        Unix time since which slurmctld says that it ended, while its result is not to be seen yet.
    seen : float
        Unix time at which we learned the newest of it.
    """

    key: str
    native_id: str
    directory: str = ""
    state: JobState = JobState.QUEUED
    reason: str = ""
    remedy: Remedy = Remedy.WAIT
    host: str = ""
    cores: int | None = None
    started: float | None = None
    exit_code: int | None = None
    requeued: float = 0.0
    ended: float | None = None
    seen: float = 0.0

    def report(self) -> JobReport:
        """In the words of every scheduler."""
        return JobReport(
            self.key, self.state, self.native_id, self.reason, self.host, self.cores, self.started, None,
            self.exit_code, self.remedy,
        )  # fmt: skip


def restored(values: dict[str, Any]) -> Track:
    """A track as it was saved."""
    return replace(Track(**values), state=JobState(values["state"]), remedy=Remedy(values["remedy"]))


def by_files(track: Track, now: float) -> Track | None:
    """What the job's own files say that is not known yet."""
    directory = Path(track.directory)
    result = read_result(directory, track.key)
    if result is not None and (result.get("started") or now) > track.requeued:
        good = not result.get("error")
        state = JobState.DONE if good else JobState.FAILED
        return replace(
            track, state=state, reason="" if good else "ended with an error", exit_code=0 if good else None,
            started=result.get("started"), seen=now,
        )  # fmt: skip
    if track.state is JobState.RUNNING and track.started is not None:
        return None
    started = _started(directory, track.key)
    if started is None or started["started"] <= track.requeued:
        return None
    host = track.host or str(started.get("host") or "")
    return replace(track, state=JobState.RUNNING, reason="", started=started["started"], host=host, seen=now)


def _started(directory: Path, key: str) -> dict[str, Any] | None:
    """``started.json``, if it is of this attempt."""
    try:
        told = json.loads((directory / "started.json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(told, dict) and told.get("key") == key and isinstance(told.get("started"), int | float)
    return told if whole else None
