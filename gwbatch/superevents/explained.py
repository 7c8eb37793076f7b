"""Explanations of why one event is preferred to another."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.superevents.candidate import Event
from gwbatch.superevents.ranking import counts_as_cbc, preference, required_labels


def why_not(event: Event, preferred: Event, policy: Policy) -> str:
    """Return why an event is not the preferred one, which is the first difference in the order of preference.

    If the event ranks above the preferred one, the reason is that a person or the server has chosen the latter.
    """
    own, others = preference(event, policy), preference(preferred, policy)
    if own > others:
        return f"it ranks above {preferred.graceid}, which was chosen manually or by the server"
    place = next((place for place, (one, other) in enumerate(zip(own, others, strict=True)) if one != other), None)
    if place is None:
        return f"it ranks like {preferred.graceid}, which came first"
    return _REASONS[place](event, preferred, policy)


def _incomplete(event: Event, _: Event, policy: Policy) -> str:
    missing = sorted((required_labels(event, policy) or frozenset()) - event.labels)
    return f"it is not complete: {', '.join(missing)} missing" if missing else "its kind never completes"


def _ineligible(event: Event, _: Event, __: Policy) -> str:
    return "it is an injection" if "INJ" in event.labels else "it comes from an offline search"


def _insignificant(event: Event, _: Event, __: Policy) -> str:
    return "its false alarm rate is above the threshold for significant alerts"


def _unpublishable(event: Event, _: Event, __: Policy) -> str:
    return "its false alarm rate is above the threshold for any alert"


def _kind(event: Event, preferred: Event, _: Policy) -> str:
    return f"{event.kind} ranks below {preferred.kind}"


def _detectors(event: Event, preferred: Event, policy: Policy) -> str:
    counted, others = max(0, preference(event, policy)[6]), max(0, preference(preferred, policy)[6])
    return f"fewer detectors count ({counted}, not {others})"


def _strength(event: Event, preferred: Event, policy: Policy) -> str:
    if counts_as_cbc(event, policy):
        return f"its SNR is lower ({event.snr or 0.0:.1f}, not {preferred.snr or 0.0:.1f})"
    return "its false alarm rate is higher"


_REASONS = (_incomplete, _ineligible, _insignificant, _ineligible, _unpublishable, _kind, _detectors, _strength)
