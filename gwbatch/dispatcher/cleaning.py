"""Keeping the state directory small: what GraceDB has need not stay here for ever."""

from __future__ import annotations

import shutil
from pathlib import Path


def remove_old_job_directories(folder: Path, before: float) -> int:
    """Remove the job directories of events and superevents that nothing was written into since `before`."""
    removed = 0
    for subject in folder.glob("*"):
        newest = max((path.stat().st_mtime for path in subject.rglob("*") if path.is_file()), default=before)
        if newest < before:
            shutil.rmtree(subject, ignore_errors=True)
            removed += 1
    return removed
