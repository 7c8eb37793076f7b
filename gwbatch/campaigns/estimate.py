"""Estimates of the remaining time: predictions scaled by the times of finished events with the same detectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from gwbatch.campaigns.table import DONE, SET_ASIDE, summed_work


@dataclass
class _Set:
    left: float = 0.0
    predicted: float = 0.0
    taken: float = 0.0


class Estimate:
    """The remaining work, by set of detectors.

    Parameters
    ----------
    events : iterable of (str, float)
        Detectors and predicted CPU seconds of each event that is still to be done.
    """

    def __init__(self, events: Iterable[tuple[str, float]]) -> None:
        self._sets: dict[str, _Set] = {}
        self._elsewhere = _Set()
        self._spent = 0.0
        for detectors, predicted in events:
            self._set(detectors).left += predicted

    @classmethod
    def of_table(cls, connection: sqlite3.Connection) -> Estimate:
        """Return an estimate from what a campaign's table says."""
        made = cls([])
        for state, detectors, predicted, wall in summed_work(connection):
            found = made._set(detectors)
            if state == DONE:
                found.predicted, found.taken = predicted, wall
            elif state != SET_ASIDE:
                found.left += predicted
        return made

    def measured(self, detectors: str, predicted: float, wall: float) -> None:
        """Record that an event is done and took `wall` seconds."""
        found = self._set(detectors)
        found.left -= predicted
        found.predicted += predicted
        found.taken += wall

    def measured_elsewhere(self, predicted: float, wall: float) -> None:
        """Record that events, of whatever detectors, are done without being known here, and took `wall` seconds."""
        self._elsewhere.predicted += predicted
        self._elsewhere.taken += wall

    def spent(self, seconds: float) -> None:
        """Record that processes have spent `seconds` on events that are not done."""
        self._spent += seconds

    def given_up(self, detectors: str, predicted: float) -> None:
        """Record that an event will not be tried again."""
        self._set(detectors).left -= predicted

    def taken_up_again(self, detectors: str, predicted: float) -> None:
        """Record that an event will be tried again after all."""
        self._set(detectors).left += predicted

    def seconds(self, processes: int) -> float | None:
        """Return the seconds that `processes` processes need for the rest, or None if no event is done yet."""
        known = [*self._sets.values(), self._elsewhere]
        measured = sum(one.predicted for one in known)
        if not measured or not processes:
            return None
        overall = sum(one.taken for one in known) / measured
        rest = sum(one.left * (one.taken / one.predicted if one.predicted else overall) for one in self._sets.values())
        return max(0.0, rest - overall * self._elsewhere.predicted - self._spent) / processes

    def _set(self, detectors: str) -> _Set:
        return self._sets.setdefault(detectors, _Set())
