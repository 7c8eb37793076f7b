"""The live overview, read once for all open pages when the ledger changes, and every few seconds otherwise."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio

from gwbatch.console.campaigns import Campaigns
from gwbatch.console.tiles import tiles
from gwbatch.errors import GwbatchError
from gwbatch.ledger import Ledger
from gwbatch.reports.milestones import courses
from gwbatch.reports.status import report
from gwbatch.reports.summaries import cards

LOOK = 0.5  # s between two checks for changes to the ledger
AT_LEAST = 5.0  # s after which to read again in any case, because ages have grown
DAY = 86_400.0  # s
COURSES = 200  # newest superevents in the latency chart


def overview(ledger: Ledger, now: float, campaigns: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return the report of ``gwbatch status`` with tiles, cards of the last day's superevents, and chart data."""
    found = {**report(ledger, now), "campaigns": list(campaigns)}
    return {**found, "tiles": tiles(ledger, found), "cards": cards(ledger, now - DAY), "series": _series(ledger)}


def _series(ledger: Ledger) -> list[dict[str, float | None]]:
    """Return when superevents began and how many seconds each took to reach its milestones, oldest first."""
    return [
        {"at": one.began, **{name: one.reached.get(name) for name in ("decided", "finished", "delivered")}}
        for one in reversed(courses(ledger, limit=COURSES))
    ]


class Live:
    """The overview of a ledger for any number of pages.

    Parameters
    ----------
    clock : callable
        Unix time in s.
    """

    def __init__(self, path: Path, campaigns: Campaigns | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._campaigns = campaigns or Campaigns(())
        self._lock = anyio.Lock()
        self._newest: tuple[int, str] = (0, "null")
        self._seen: tuple[int, ...] | None = None  # nothing has been read yet
        self._read_at = -math.inf

    async def changes(self) -> AsyncIterator[tuple[int, str]]:
        """Yield the overview as JSON whenever it differs from the last, with the number of the ledger's last change."""
        sent = ""
        while True:
            async with self._lock:
                number, text = await anyio.to_thread.run_sync(self._current)
            if text != sent:
                sent = text
                yield number, text
            await anyio.sleep(LOOK)

    def _current(self) -> tuple[int, str]:
        seen = self._state()
        has_changed = seen != self._seen
        if has_changed or time.monotonic() - self._read_at >= AT_LEAST:
            number, before = self._newest
            self._newest = (number + has_changed, self._text(before))
            self._seen, self._read_at = seen, time.monotonic()
        return self._newest

    def _state(self) -> tuple[int, ...]:
        """Return a fingerprint of the ledger's files, which differs after every commit."""
        state: list[int] = []
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            try:
                found = path.stat()
            except OSError:
                continue  # the last process to close a ledger removes its WAL file
            state += (found.st_size, found.st_mtime_ns, found.st_ino) if found.st_size else ()
        return tuple(state)

    def _text(self, before: str) -> str:
        if not self._path.exists():
            return "null"
        try:
            ledger = Ledger(self._path)
        except GwbatchError as error:
            return json.dumps({"error": str(error)})
        try:
            return json.dumps(plain(overview(ledger, self._clock(), self._campaigns.briefs())))
        except (GwbatchError, sqlite3.OperationalError):
            return before  # the ledger is busy; try again at the next check
        finally:
            ledger.close()


def plain(value: Any) -> Any:
    """Return a value with None for the numbers that JSON cannot express (infinities and NaN)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value
