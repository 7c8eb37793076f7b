"""The superevent lane: alerts about events and superevents, to decisions, to GraceDB effects."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gwbatch import effects
from gwbatch.effects import Effect
from gwbatch.errors import BadInput
from gwbatch.gpstime import utc_to_gps
from gwbatch.handlers.builtin.annotate import annotate_superevent
from gwbatch.handlers.registry import Context
from gwbatch.model import Decision
from gwbatch.superevents import Event, Manager, Superevent, parse_event
from gwbatch.superevents.admission import added_label, foreign_server
from gwbatch.superevents.candidate import require_name
from gwbatch.superevents.manager import EARLY_WARNING, LOW_SIGNIF_LOCKED, SIGNIF_LOCKED

log = logging.getLogger(__name__)


def handle_event(alert: dict[str, Any], context: Context) -> Iterator[Effect]:
    """An alert about an event of a search pipeline."""
    yield from _carry_out(decide(alert, context), context)


def decide(alert: Mapping[str, Any], context: Context) -> list[Decision]:
    """Ask the superevent manager, bring the mirror up to date, and return what was decided."""
    data = alert.get("object")
    if not isinstance(data, Mapping):
        raise BadInput("The alert has no object: it cannot be said which event it is about.")
    event = parse_event(data)
    _refuse_the_future(event, context)
    stranger = foreign_server(alert, context.profile.gracedb.url) if context.profile.gracedb.url else None
    if stranger is not None:
        log.warning("refused an alert about %s of another GraceDB server, %s", event.graceid, stranger)
        decisions = [
            Decision("drop", reason=f"alert of another GraceDB server, {stranger}", detail={"event": event.graceid})
        ]
    else:
        decisions = Manager(context.policy).decide(alert, event, context.mirror)
        known = context.mirror.event_data(event.graceid)
        if known is not None or decisions[0].action != "drop":
            context.mirror.put_event({**data, "labels": _labels(alert, known)}, context.now)
    for decision in decisions:
        context.record(decision)
    return decisions


def _refuse_the_future(event: Event, context: Context) -> None:
    limit = context.now + context.policy.future_limit
    if context.live and event.gpstime > utc_to_gps(datetime.fromtimestamp(limit, UTC)):
        raise BadInput(f"Event {event.graceid} has the gpstime {event.gpstime!r}, which is far in the future.")


def _labels(alert: Mapping[str, Any], known: Mapping[str, Any] | None) -> list[str]:
    """Labels after an alert: its snapshot may be older than what we know, so only label alerts change the set."""
    snapshot = list(alert["object"].get("labels") or [])
    before = list(known.get("labels") or []) if known else []
    alert_type = alert.get("alert_type")
    if alert_type == "label_removed":
        return [label for label in before if label != added_label(alert)]
    if alert_type == "label_added":
        return list(dict.fromkeys([*before, *snapshot, added_label(alert)]))
    return before if known else snapshot


def _carry_out(decisions: list[Decision], context: Context) -> Iterator[Effect]:
    for decision in decisions:
        effect = effect_of(decision, context)
        if effect is not None:
            yield effect
    for key in dict.fromkeys(decision.superevent for decision in decisions if decision.superevent):
        yield from annotate_superevent(key, context)


def effect_of(decision: Decision, context: Context) -> Effect | None:
    """What a decision does to GraceDB; nothing when GraceDB did it itself."""
    key, detail = decision.superevent, decision.detail
    if key is None:
        return None
    if decision.action == "create" and detail.get("superevent_id") is None:
        return Effect(
            f"{key}/create",
            "gracedb.create_superevent",
            key,
            {"superevent": key, **detail},
            None,
            effects.LABEL_PRIORITY,
        )
    if decision.action == "add_event" and not detail.get("adopted"):
        args = {"superevent": key, "event": detail["event"]}
        return Effect(f"{key}/add/{detail['event']}", "gracedb.add_event", key, args, None, effects.LABEL_PRIORITY)
    if decision.action == "update":
        changes = {name: value for name, value in detail.items() if name != "superevent_id"}
        if changes:
            args = {"superevent": key, "changes": changes}
            return Effect(
                f"{key}/update/{context.message_id}",
                "gracedb.update_superevent",
                key,
                args,
                None,
                effects.LABEL_PRIORITY,
            )
    if decision.action == "label":
        return effects.label(key, detail["label"])
    return None


def handle_superevent(alert: dict[str, Any], context: Context) -> Iterator[Effect]:
    """An alert about a superevent: take over what others changed; on a lock, choose the preferred event again."""
    data = alert.get("object")
    if not isinstance(data, Mapping) or not data.get("superevent_id"):
        raise BadInput("The alert has no object with a superevent_id: it cannot be said which superevent it is about.")
    require_name(data["superevent_id"])
    if context.policy.clustering == "client" and not context.profile.gracedb.url:
        return
    superevent = context.mirror.refresh_superevent(data, context.now)
    if superevent is None:
        return
    alert_type, label = alert.get("alert_type"), added_label(alert)
    if alert_type == "update" and not _writes_pending(superevent, context):
        superevent = _take_over(superevent, data, context)
    decisions: list[Decision] = []
    if alert_type == "label_added" and (
        label == SIGNIF_LOCKED or (label == EARLY_WARNING and SIGNIF_LOCKED not in superevent.labels)
    ):
        if LOW_SIGNIF_LOCKED not in superevent.labels:
            decisions.append(Decision("label", superevent.key, {"label": LOW_SIGNIF_LOCKED}, f"{label} was set"))
        decisions += Manager(context.policy).reselect(superevent, context.mirror)
    for decision in decisions:
        context.record(decision)
    yield from _carry_out(decisions or [Decision("none", superevent.key)], context)


def _writes_pending(superevent: Superevent, context: Context) -> bool:
    return (
        context.tx.execute(
            "SELECT 1 FROM effects WHERE subject = ? AND state IN ('ready', 'running') LIMIT 1",
            (superevent.key,),
        ).fetchone()
        is not None
    )


def _take_over(superevent: Superevent, data: Mapping[str, Any], context: Context) -> Superevent:
    """GraceDB is the truth: somebody else's window, preferred event and members."""
    changes: dict[str, Any] = {
        name: float(data[name]) for name in ("t_start", "t_0", "t_end") if isinstance(data.get(name), int | float)
    }
    preferred = str(data.get("preferred_event") or superevent.preferred)
    changes["preferred"] = preferred
    changed = replace(superevent, **changes)
    context.mirror.put_superevent(changed, context.now)
    for graceid in data.get("gw_events") or []:
        if graceid not in superevent.events and context.mirror.event_data(str(graceid)) is not None:
            context.mirror.join(str(graceid), superevent.key)
    return changed
