"""The superevent lane, which turns alerts about events and superevents into decisions and GraceDB effects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gwbatch.annotation.graph import MAP, UPLOADED_MAP
from gwbatch.effects import Effect
from gwbatch.effects.kinds import AddEvent, CreateSuperevent, Label, UpdateSuperevent
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import igwn_alert, on
from gwbatch.handlers.messages import EventLabelled, LabelDecided, SupereventChanged
from gwbatch.keys import is_our_superevent
from gwbatch.ledger import effects
from gwbatch.model import Action, Decision
from gwbatch.orchestrator import event_products
from gwbatch.orchestrator.snapshots import mirror_superevent
from gwbatch.orchestrator.superevent_products import annotate_superevent
from gwbatch.orchestrator.topics import SUPEREVENT_TOPICS, search_topics
from gwbatch.superevents import Alert, Manager, parse_event
from gwbatch.superevents.admission import ALERT_TYPES
from gwbatch.superevents.candidate import require_name
from gwbatch.superevents.manager import EARLY_WARNING, LOW_SIGNIF_LOCKED, SIGNIF_LOCKED
from gwbatch.superevents.ranking import is_listed

log = logging.getLogger(__name__)


@igwn_alert.handler(search_topics, queue="superevent", name="gwbatch.superevents.handle_event")
def handle_event(payload: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Decide on an alert about an event of a search pipeline."""
    alert = Alert.parse(payload)
    data = _event_of(alert)
    decisions, known = decide(alert, context), context.mirror.event_data(data["graceid"])
    yield from carry_out(decisions, context)
    if known is not None and alert.type == "new":
        yield from event_products.catch_up(parse_event(known), known, context)


@on(EventLabelled, name="gwbatch.superevents.handle_own_label")
def handle_own_label(message: EventLabelled, context: Context) -> Iterator[Effect]:
    """Apply one of our own labels on an event at once, so that a notice need not wait for GraceDB's alert about it.

    Labels that follow on the superevent are still written after it, because other software relies on our labels.
    """
    data = context.mirror.event_data(message.event)
    if data is None:
        return
    alert = Alert("label_added", data, {"name": message.label})
    for effect in carry_out(decide(alert, context), context):
        yield msgspec.structs.replace(effect, after=message.effect) if isinstance(effect, Label) else effect


def decide(alert: Alert, context: Context) -> list[Decision]:
    """Let the superevent manager decide, update the mirror, and return the decisions."""
    data = _event_of(alert)
    known = context.mirror.event_data(data["graceid"])
    reason = _not_worth_reading(alert, data, known, context)
    if reason is not None:
        decisions = [Decision(Action.DROP, reason=reason, detail={"event": data["graceid"]})]
    else:
        event = parse_event(data)
        if alert.type == "label_added":
            event = replace(event, labels=event.labels | {alert.label})
        context.reject_future_time(event.gpstime, f"Event {event.graceid}")
        decisions = Manager(context.policy).decide(alert, event, context.mirror)
        if known is not None or decisions[0].action != Action.DROP:
            context.mirror.put_event({**data, "labels": _labels(alert, data, known)}, context.now)
            _tell_if_changed(known, data, context)
        if decisions[0].action == Action.CREATE and not is_listed(event, context.policy):
            log.warning(
                "%s is of kind %s, which the policy does not list: never publishable", event.graceid, event.kind
            )
    record(decisions, context)
    return decisions


def _event_of(alert: Alert) -> Mapping[str, Any]:
    if alert.object is None:
        raise BadInput("The alert has no object: it cannot be said which event it is about.")
    require_name(alert.object.get("graceid"))
    return alert.object


def _tell_if_changed(known: Mapping[str, Any] | None, data: Mapping[str, Any], context: Context) -> None:
    """Send a message if a preferred event has a new FAR, group or search, on which coincidences depend."""
    if known is None or all(known.get(name) == data.get(name) for name in ("far", "group", "search")):
        return
    superevent = context.mirror.superevent_of(data["graceid"])
    if superevent is not None and superevent.preferred == data["graceid"]:
        context.send(SupereventChanged(superevent.key))


def record(decisions: list[Decision], context: Context) -> None:
    """Record decisions, and notify the lanes of changed superevents and, unless alerts are off, of decided labels."""
    for decision in decisions:
        context.record(decision)
        if decision.superevent and decision.action in (Action.CREATE, Action.UPDATE):
            context.send(SupereventChanged(decision.superevent))
        if decision.superevent and decision.action == Action.LABEL and context.profile.alerts.mode != "off":
            context.send(LabelDecided(decision.superevent, decision.detail["label"]))


def _not_worth_reading(
    alert: Alert, data: Mapping[str, Any], known: Mapping[str, Any] | None, context: Context
) -> str | None:
    """Return why an alert is dropped before its event is parsed; None if it is not."""
    stranger = context.other_server(alert)
    if stranger is not None:
        log.warning("refused an alert about %s of another GraceDB server, %s", data["graceid"], stranger)
        return f"alert of another GraceDB server, {stranger}"
    if data.get("processing_status") == "reserved":
        return "processing_status is reserved: the upload is not there yet"
    if alert.type not in ALERT_TYPES and known is None:
        return f"alert type {alert.type}"
    return None


def _labels(alert: Alert, data: Mapping[str, Any], known: Mapping[str, Any] | None) -> list[str]:
    """Return the labels of an event after an alert.

    A snapshot may be older than what we know, so only alerts about labels change those of a known event.
    """
    snapshot = [str(label) for label in data.get("labels") or []]
    before = list(known.get("labels") or []) if known else []
    if alert.type == "label_removed":
        return [label for label in before if label != alert.label]
    if alert.type == "label_added":
        return list(dict.fromkeys([*before, *snapshot, alert.label]))
    return before if known else snapshot


def carry_out(decisions: list[Decision], context: Context) -> Iterator[Effect]:
    """Yield the effects of recorded decisions, and annotate their superevents."""
    for decision in decisions:
        effect = effect_of(decision, context)
        if effect is not None:
            yield effect
    for key in dict.fromkeys(decision.superevent for decision in decisions if decision.superevent):
        yield from annotate_superevent(key, context)


def effect_of(decision: Decision, context: Context) -> Effect | None:
    """Return the effect of a decision on GraceDB; None if there is nothing to do, or GraceDB did it itself."""
    key, detail = decision.superevent, decision.detail
    if key is None:
        return None
    ours = is_our_superevent(key)  # else the server does the clustering and maintains the window itself
    if decision.action == Action.CREATE and detail.get("superevent_id") is None:
        return CreateSuperevent(
            key, detail["event"], detail["category"], detail["t_start"], detail["t_0"], detail["t_end"]
        )
    if decision.action == Action.ADD_EVENT and not detail.get("adopted"):
        return AddEvent(key, detail["event"])
    if decision.action == Action.UPDATE:
        written = ("preferred", "t_0", "t_start", "t_end") if ours else ("preferred", "t_0")
        changes = {name: detail[name] for name in written if name in detail}
        if changes:
            return UpdateSuperevent(key, changes, occasion=str(context.message_id))
    if decision.action == Action.LABEL:
        return _label_again(Label(key, detail["label"]), context)
    return None


def _label_again(effect: Label, context: Context) -> Label:
    """Return the effect of a label, under a new key if the label was set before and somebody removed it."""
    if not effects.is_done(context.tx, effect.key):
        return effect
    return msgspec.structs.replace(effect, occasion=str(context.message_id))


@igwn_alert.handler(*SUPEREVENT_TOPICS, queue="superevent", name="gwbatch.superevents.handle_superevent")
def handle_superevent(payload: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Mirror others' changes to a superevent, and choose the preferred event again when it is locked."""
    alert = Alert.parse(payload)
    before = _as_seen_from_outside(alert, context)
    superevent = mirror_superevent(alert, context)
    if superevent is None:
        return
    if _as_seen_from_outside(alert, context) != before:
        context.send(SupereventChanged(superevent.key))
    label = alert.label
    decisions: list[Decision] = []
    if alert.type == "label_added" and (
        label == SIGNIF_LOCKED or (label == EARLY_WARNING and SIGNIF_LOCKED not in superevent.labels)
    ):
        if LOW_SIGNIF_LOCKED not in superevent.labels:
            decisions.append(Decision(Action.LABEL, superevent.key, {"label": LOW_SIGNIF_LOCKED}, f"{label} was set"))
        decisions += Manager(context.policy).reselect(superevent, context.mirror)
    record(decisions, context)
    yield from carry_out(decisions or [Decision(Action.NONE, superevent.key)], context)


def _as_seen_from_outside(alert: Alert, context: Context) -> Any:
    """Return the values of a superevent on which its coincidences depend."""
    name = alert.superevent_id
    superevent = None if name is None else context.mirror.superevent_named(name)
    if superevent is None:
        return None
    maps = context.mirror.product(superevent.key, MAP), context.mirror.product(superevent.key, UPLOADED_MAP)
    return superevent.key, superevent.t_0, superevent.preferred, maps
