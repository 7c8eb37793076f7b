"""The campaigns that the console shows, from the folders that the site profile or the command line names."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.overview import brief, overview

FRESH = 5.0  # s for which a reading is reused, because a table may have a million rows
FAILED = 200  # events set aside that are listed individually


class Campaigns:
    """The campaigns in some places, searched again on every call because one may be planned meanwhile.

    Parameters
    ----------
    places : sequence of Path
        Folders of campaigns, or folders that contain such folders.
    """

    def __init__(self, places: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._places = [place.expanduser().absolute() for place in places]
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at, self._briefs = float("-inf"), list[dict[str, Any]]()

    def briefs(self) -> list[dict[str, Any]]:
        """Return the progress of each campaign, running ones first; ``error`` says why one cannot be read."""
        with self._lock:
            if self._clock() - self._read_at > FRESH:
                self._briefs = sorted(
                    map(_brief, self._folders()), key=lambda one: (one["state"] != "running", one["path"])
                )
                self._read_at = self._clock()
            return self._briefs

    def one(self, path: str) -> dict[str, Any] | None:
        """Return everything about a campaign; None if the path is not one of the campaigns shown."""
        folder = next((folder for folder in self._folders() if str(folder.path) == path), None)
        if folder is None:
            return None
        found = overview(folder)
        return {**found, "failed": found["failed"][:FAILED]}

    def _folders(self) -> Iterator[Folder]:
        for place in self._places:
            try:
                inside = sorted(one for one in place.iterdir() if one.is_dir())
            except OSError:
                continue  # not there yet
            for path in (place, *inside):
                folder = Folder(path)
                if folder.settings_file.is_file() and folder.table.is_file():
                    yield folder


def _brief(folder: Folder) -> dict[str, Any]:
    try:
        return {**brief(folder), "error": ""}
    except (OSError, sqlite3.Error) as error:
        return {"path": str(folder.path), "state": "unreadable", "error": str(error)}
