"""The state of a job according to its own files.

On a shared file system these files say more than the batch system, and sooner.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gwbatch.clock import Clock
from gwbatch.jobs.result import read_result
from gwbatch.model import JobState
from gwbatch.schedulers.records import JobRecord


def by_files(record: JobRecord, clock: Clock) -> JobRecord | None:
    """Return the record updated from the job's own files, or None if they hold nothing new."""
    seen = clock.steady()
    directory = Path(record.directory)
    result = read_result(directory, record.key)
    if result is not None and (result.get("started") or clock.now()) > record.requeued:
        good = not result.get("error")
        state = JobState.DONE if good else JobState.FAILED
        return replace(
            record, state=state, reason="" if good else "ended with an error", exit_code=0 if good else None,
            started=result.get("started"), learned=seen,
        )  # fmt: skip
    if record.state is JobState.RUNNING and record.started is not None:
        return None
    started = _started(directory, record.key)
    if started is None or started["started"] <= record.requeued:
        return None
    host = record.host or str(started.get("host") or "")
    return replace(record, state=JobState.RUNNING, reason="", started=started["started"], host=host, learned=seen)


def _started(directory: Path, key: str) -> dict[str, Any] | None:
    """Read ``started.json``, if it belongs to this attempt."""
    try:
        found = json.loads((directory / "started.json").read_text())
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and found.get("key") == key and isinstance(found.get("started"), int | float)
    return found if whole else None
