"""Merging of all notices of an external trigger, regardless of their order of arrival."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gwbatch.config.external import ExternalPolicy
from gwbatch.external.notices import Notice
from gwbatch.external.vetoes import RETRACTED, ignored, vetoes

# A burst that was also found as a sub-threshold candidate is a burst.
_SEARCH_RANK = {"SubGRB": 0, "SubGRBTargeted": 0, "MDC": 1}
_RANK_OF_OTHERS = 1


@dataclass(frozen=True)
class Trigger:
    """The current state of an external trigger.

    Attributes
    ----------
    notice : Notice
        The best notice, which defines the event's search, time and position.
    best_notice : str
        The hash of that notice's content.
    map_notice : str or None
        The hash of the notice that its sky map is made from: the best one that has a position or a map.
    reasons : tuple of str
        The vetoes; with any of them the event bears NOT_GRB.
    """

    notice: Notice
    best_notice: str
    map_notice: str | None
    reasons: tuple[str, ...]

    @property
    def is_burst(self) -> bool:
        """Whether the trigger counts as what its search looks for."""
        return not self.reasons

    @property
    def retracted(self) -> bool:
        """Whether the observatory retracted it."""
        return RETRACTED in self.reasons


def merge_notices(notices: Iterable[tuple[str, Notice]], settings: ExternalPolicy) -> Trigger | None:
    """Return the state of a trigger, given its notices with the hashes of their contents; None if none of them counts.

    The best notice is the maximum of an ordering, so neither the order of arrival nor duplicates change the result.
    """
    counting = [(content, notice) for content, notice in notices if not ignored(notice, settings)]
    # GraceDB's data on an event stand in for a notice only as long as there is no real one.
    counting = [pair for pair in counting if not pair[1].described] or counting
    if not counting:
        return None
    content, notice = max(((one, two) for one, two in counting), key=lambda pair: _order(*pair))
    retracted = any(one.retracted for _, one in counting)
    reasons = tuple(dict.fromkeys([*vetoes(notice, settings), *([RETRACTED] if retracted else [])]))
    placed = [(one, two) for one, two in counting if two.ra is not None or two.skymap]
    map_notice = max(placed, key=lambda pair: _order(*pair))[0] if placed else None
    return Trigger(notice, content, map_notice, reasons)


def _order(content: str, notice: Notice) -> tuple[object, ...]:
    """Rank bursts above sub-threshold candidates and later stages above earlier ones; the content breaks ties."""
    rank = _SEARCH_RANK.get(notice.search, _RANK_OF_OTHERS)
    # Retractions rank lower, so that the position and time come from the last notice before them.
    return (rank, not notice.retracted, notice.stage, notice.sequence, notice.ra is not None, notice.time, content)
