"""The admission of alerts: one rule per line, each with the reason that is recorded."""

from __future__ import annotations

from gwbatch.config.policy import Policy
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.candidate import Event
from gwbatch.superevents.ranking import RAVEN_ALERT, is_complete, required_labels

ALERT_TYPES = ("new", "label_added")


def refusal(event: Event, policy: Policy) -> str | None:
    """Return why this event is of no interest, or None."""
    barred = event.instruments & frozenset(policy.drop_instruments)
    if barred:
        return f"{', '.join(sorted(barred))} among the instruments"
    if event.search in policy.drop_searches:
        return f"search {event.search}"
    if event.reserved:
        return "processing_status is reserved: the upload is not there yet"
    if event.far is None:
        return "no false alarm rate"
    if event.far > policy.far_limit:
        return f"false alarm rate {event.far:.3g} Hz above {policy.far_limit:.3g} Hz"
    return None


def drop_reason(alert: Alert, event: Event, policy: Policy) -> str | None:
    """Return why the superevent manager ignores this alert, or None if it counts."""
    if alert.type not in ALERT_TYPES:
        return f"alert type {alert.type}"
    reason = refusal(event, policy)
    if reason is not None or alert.type == "new":
        return reason
    label = alert.label
    if label == RAVEN_ALERT:
        return None
    required = required_labels(event, policy)
    if required is None:
        return f"label {label}: events of kind {event.kind} never complete"
    if label not in required:
        return f"label {label} does not complete an event of kind {event.kind}"
    if not is_complete(event, policy):
        return f"still incomplete: {', '.join(sorted(required - event.labels))} missing"
    return None
