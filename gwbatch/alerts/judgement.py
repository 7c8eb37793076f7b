"""The judgement of whether a notice may go out, based on what the ledger knows at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gwbatch.alerts.kinds import VETOES, AlertKind, Threshold
from gwbatch.config.policy import Policy
from gwbatch.superevents import Event, Superevent
from gwbatch.superevents.manager import EARLY_WARNING, SIGNIF_LOCKED
from gwbatch.superevents.ranking import is_less_significant, is_significant


@dataclass(frozen=True)
class SeenExternal:
    """The external event that a superevent is announced with.

    Attributes
    ----------
    time : float
        GPS s.
    far_time, far_spacetime : float or None
        Joint false alarm rates in Hz.
    combined : tuple of str or None
        Path of the combined map on this machine, and its ``NAME,VERSION`` in GraceDB, empty if it is not there.
    """

    observatory: str
    search: str
    trigger_id: str
    ivorn: str
    time: float
    far_time: float | None
    far_spacetime: float | None
    combined: tuple[str, str] | None = None


@dataclass(frozen=True)
class Seen:
    """A snapshot of everything in the ledger that a notice is made of.

    Two snapshots are equal only if nothing that a notice depends on has changed.

    Attributes
    ----------
    event : Event or None
        The preferred event; None while it is unknown.
    data : mapping
        The preferred event as its newest alert describes it.
    products : mapping
        Name of the product to its version and location.
    """

    superevent: Superevent
    event: Event | None
    data: dict[str, Any] = field(default_factory=dict)
    products: dict[str, Any] = field(default_factory=dict)
    external: SeenExternal | None = None

    @property
    def labels(self) -> frozenset[str]:
        """Labels of the superevent."""
        return frozenset(self.superevent.labels)


def refusal(kind: AlertKind, seen: Seen, policy: Policy) -> str | None:
    """Return why a notice must not go out, or None if it may."""
    blocking = _blocking(kind, seen, policy)
    if blocking:
        return f"blocked by the label{'s' if len(blocking) > 1 else ''} {', '.join(sorted(blocking))}"
    if not kind.has_event:
        return None
    if seen.event is None:
        return f"the preferred event {seen.superevent.preferred} is unknown"
    if seen.event.far is None:
        return f"{seen.event.graceid} has no false alarm rate"
    if kind.threshold is Threshold.SIGNIFICANT and not is_significant(seen.event, policy):
        return f"{seen.event.graceid} is not significant"
    if kind.threshold is Threshold.LESS_SIGNIFICANT and not is_less_significant(seen.event, policy):
        return f"{seen.event.graceid} is not publishable"
    return None


def refusal_at_start(kind: AlertKind, labels: frozenset[str]) -> str | None:
    """Return why a notice is not even planned, or None if it is."""
    sent = {kind.sent_label} if kind.is_automatic and kind.sent_label else set[str]()  # perhaps by another instance
    found = (kind.refused_when | sent) & labels
    return f"not planned: the superevent is labelled {', '.join(sorted(found))}" if found else None


def is_announced_as_significant(kind: AlertKind, seen: Seen, policy: Policy) -> bool:
    """Return whether ``event.significant`` is true in a notice."""
    if kind.significant is not None:
        return kind.significant
    if seen.labels & {SIGNIF_LOCKED, EARLY_WARNING}:
        return True
    return seen.event is not None and is_significant(seen.event, policy)


def _blocking(kind: AlertKind, seen: Seen, policy: Policy) -> frozenset[str]:
    vetoes = VETOES & (seen.event.labels if seen.event is not None else frozenset())
    blocked_by = kind.blocked_by | frozenset(policy.alerts.blocked_also.get(kind.name, ()))
    return blocked_by & (seen.labels | vetoes)
