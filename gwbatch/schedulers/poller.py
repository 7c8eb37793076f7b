"""A background poller that asks a batch system about all jobs, one query at a time and rarely in quiet times."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gwbatch.clock import Clock
from gwbatch.schedulers.base import SchedulerBusy

SHARE = 0.05  # largest fraction of time spent waiting for answers, so that a slow batch system is polled less often

log = logging.getLogger(__name__)


class Poller:
    """A query that is repeated in a thread of its own.

    Parameters
    ----------
    question : callable
        Takes the keys of interest; returns whether anything has changed.  May raise `SchedulerBusy`.
    soonest, longest : float
        Seconds between two queries: `soonest` after a change, then twice as long each time, up to `longest`.
    """

    def __init__(self, question: Callable[[Sequence[str]], bool], soonest: float, longest: float, clock: Clock) -> None:
        self._question, self._clock = question, clock
        self._soonest, self._longest = min(soonest, longest), longest
        self._interval = self._soonest
        self._next = self._not_before = float("-inf")
        self._thread: threading.Thread | None = None
        self.trouble = ""

    def poll_if_due(self, keys: Sequence[str]) -> None:
        """Start a query about these jobs if one is due and the previous one has finished."""
        if keys and self._clock.steady() >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._ask, args=(list(keys),), name="ask-about-jobs", daemon=True)
            self._thread.start()

    def poll_soon(self, within: float | None = None) -> None:
        """Bring the next query forward after a change, but keep the pause that the last query requires."""
        self._interval = self._soonest
        soon = self._clock.steady() + (self._soonest if within is None else within)
        self._next = max(self._not_before, min(self._next, soon))

    def _ask(self, keys: Sequence[str]) -> None:
        began, changed, answered = self._clock.steady(), False, False
        try:
            changed = self._question(keys)
            answered, self.trouble = True, ""
        except SchedulerBusy as error:
            self.trouble = str(error)
            log.warning("%s", error)
        except Exception:
            log.exception("the answer about %d jobs could not be used", len(keys))
        now = self._clock.steady()
        self._interval = self._soonest if changed else min(self._longest, 2 * self._interval)
        rest = min((now - began) / SHARE, self._longest)
        self._not_before = now + (rest if answered else max(rest, self._interval))
        self._next = max(self._not_before, now + self._interval)
