"""Estimates of the remaining time: predictions scaled by the times of finished events with the same detectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


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
        for detectors, predicted in events:
            self._set(detectors).left += predicted

    def measured(self, detectors: str, predicted: float, wall: float) -> None:
        """Record that an event is done and took `wall` seconds."""
        found = self._set(detectors)
        found.left -= predicted
        found.predicted += predicted
        found.taken += wall

    def given_up(self, detectors: str, predicted: float) -> None:
        """Record that an event will not be tried again."""
        self._set(detectors).left -= predicted

    def taken_up_again(self, detectors: str, predicted: float) -> None:
        """Record that an event will be tried again after all."""
        self._set(detectors).left += predicted

    def seconds(self, processes: int) -> float | None:
        """Return the seconds that `processes` processes need for the rest, or None if no event is done yet."""
        measured = sum(one.predicted for one in self._sets.values())
        if not measured or not processes:
            return None
        overall = sum(one.taken for one in self._sets.values()) / measured
        rest = sum(one.left * (one.taken / one.predicted if one.predicted else overall) for one in self._sets.values())
        return max(0.0, rest) / processes

    def _set(self, detectors: str) -> _Set:
        return self._sets.setdefault(detectors, _Set())
