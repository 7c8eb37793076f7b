"""Keeping the state directory small: what GraceDB has need not stay here."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

from gwbatch.clock import Clock

EVERY = 3600.0  # s between two looks

log = logging.getLogger(__name__)


class Cleaner:
    """Removes old job directories, in a thread of its own that can fail without harm.

    Parameters
    ----------
    folder : Path
        Where jobs have their folders.
    keep : float
        Seconds for which the folder of a subject stays after anything was written into it.
    """

    def __init__(self, folder: Path, keep: float, clock: Clock) -> None:
        self._folder = folder
        self._keep = keep
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Clean at once and then every hour, until `stop`."""
        while not stop.is_set():
            try:
                remove_old_job_directories(self._folder, self._clock.now() - self._keep, stop)
            except Exception:
                log.exception("cannot clean up %s; trying again in an hour", self._folder)
            stop.wait(EVERY)


def remove_old_job_directories(folder: Path, before: float, stop: threading.Event | None = None) -> int:
    """Remove the job directories of subjects that nothing was written into since `before` (Unix s)."""
    removed = 0
    for subject in folder.glob("*"):
        if stop is not None and stop.is_set():
            break
        if subject.is_dir() and not _is_newer(subject, before):
            shutil.rmtree(subject, ignore_errors=True)
            removed += 1
    return removed


def _is_newer(folder: Path, moment: float) -> bool:
    """Return whether anything in a tree is newer than `moment`, or cannot be read; what vanishes meanwhile is not."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if _is_newer(Path(entry.path), moment):
                        return True
                elif entry.stat(follow_symlinks=False).st_mtime >= moment:
                    return True
        # An empty folder is as old as its last change.
        return folder.stat().st_mtime >= moment
    except FileNotFoundError:
        return False
    except OSError as error:
        log.warning("cannot look into %s: %s", folder, error.strerror)
        return True
