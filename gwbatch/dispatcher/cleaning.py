"""Clean-up of old job directories, whose products GraceDB has."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path

from gwbatch.clock import Clock

EVERY = 3600.0  # s between clean-ups

log = logging.getLogger(__name__)


class Cleaner:
    """Removes old job directories, in a thread of its own whose failures do no harm.

    Parameters
    ----------
    folder : Path
        Parent of the job directories.
    keep : float
        Seconds to keep the folder of a subject after the last write into it.
    """

    def __init__(self, folder: Path, keep: float, clock: Clock) -> None:
        self._folder = folder
        self._keep = keep
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Clean up at once and then every hour, until `stop` is set."""
        while not stop.is_set():
            try:
                remove_old_job_directories(self._folder, self._clock.now() - self._keep, stop)
            except Exception:
                log.exception("cannot clean up %s; trying again in an hour", self._folder)
            stop.wait(EVERY)


def remove_old_job_directories(folder: Path, before: float, stop: threading.Event | None = None) -> int:
    """Remove the job directories of subjects without a write since `before` (Unix s), and return how many."""
    removed = 0
    for subject in folder.glob("*"):
        if stop is not None and stop.is_set():
            break
        if subject.is_dir() and not _is_newer(subject, before):
            shutil.rmtree(subject, ignore_errors=True)
            removed += 1
    return removed


def _is_newer(folder: Path, moment: float) -> bool:
    """Return whether anything in a tree is newer than `moment` or unreadable; a tree that vanishes meanwhile is not."""
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
