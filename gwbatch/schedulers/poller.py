"""Poller a batch system about all jobs now and then: beside the work, one question at a time, seldom in quiet times."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gwbatch.clock import Clock
from gwbatch.schedulers.base import SchedulerBusy

SHARE = 0.05  # largest share of the time spent waiting for answers: a slow batch system is asked less often

log = logging.getLogger(__name__)


class Poller:
    """A question that is put again and again, in a thread of its own.

    Parameters
    ----------
    question : callable
        Takes the keys of interest; returns whether anything had changed.  May raise `SchedulerBusy`.
    soonest, longest : float
        Seconds between two questions: short after a change, then longer and longer.
    """

    def __init__(self, question: Callable[[Sequence[str]], bool], soonest: float, longest: float, clock: Clock) -> None:
        self._question, self._clock = question, clock
        self._soonest, self._longest = min(soonest, longest), longest
        self._interval = self._soonest
        self._next = self._not_before = float("-inf")
        self._thread: threading.Thread | None = None
        self.trouble = ""

    def poll_if_due(self, keys: Sequence[str]) -> None:
        """Ask about these jobs, if it is time and the last question has been answered."""
        if keys and self._clock.steady() >= self._next and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._ask, args=(list(keys),), name="ask-about-jobs", daemon=True)
            self._thread.start()

    def poll_soon(self, within: float | None = None) -> None:
        """Ask soon, as something has begun, but never sooner than the last answer allows."""
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
