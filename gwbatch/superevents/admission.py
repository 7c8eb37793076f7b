"""Which alerts count: one rule a line, each with the reason that is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gwbatch.config.policy import Policy
from gwbatch.superevents.candidate import Event
from gwbatch.superevents.ranking import RAVEN_ALERT, is_complete, required_labels

ALERT_TYPES = ("new", "label_added")


def refusal(event: Event, policy: Policy) -> str | None:
    """Return why this event is of no interest at all, or None."""
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


def drop_reason(alert: Mapping[str, Any], event: Event, policy: Policy) -> str | None:
    """Return why the superevent manager ignores this alert, or None when it counts."""
    alert_type = alert.get("alert_type")
    if alert_type not in ALERT_TYPES:
        return f"alert type {alert_type}"
    reason = refusal(event, policy)
    if reason is not None or alert_type == "new":
        return reason
    label = added_label(alert)
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


def added_label(alert: Mapping[str, Any]) -> str:
    """Return the label that a ``label_added`` or ``label_removed`` alert is about."""
    data = alert.get("data")
    return str(data.get("name", "")) if isinstance(data, Mapping) else ""


def foreign_server(alert: Mapping[str, Any], own_url: str) -> str | None:
    """Return the host of another GraceDB server that sent this alert, or None when it is ours or does not say."""
    data = alert.get("object")
    links = data.get("links") if isinstance(data, Mapping) else None
    link = links.get("self") if isinstance(links, Mapping) else None
    host = urlsplit(link).netloc if isinstance(link, str) else ""
    return host if host and host != urlsplit(own_url).netloc else None
