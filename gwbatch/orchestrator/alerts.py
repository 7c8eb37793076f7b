"""The chain of public alerts: which labels, timers and operators ask for which notice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gwbatch.alerts import AlertKind, kind_named
from gwbatch.alerts.judgement import refusal_at_start
from gwbatch.alerts.kinds import DQOK, DQV, VETOES, kind_asked_for_by
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.effects import Effect
from gwbatch.effects.kinds import Label, Log
from gwbatch.effects.notices import CheckData, Expose, FreezeNotice, PreferPipelineEvent, PublishNotice, RecallNotices
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import every, igwn_alert, on
from gwbatch.handlers.messages import LabelDecided, ReleaseNotice, RequestDataQuality, SecondNotice, SendNotice
from gwbatch.keys import creation_of, is_our_superevent
from gwbatch.ledger import decisions, effects, messages
from gwbatch.mirror import public_notices
from gwbatch.model import Action, Decision
from gwbatch.orchestrator.superevents import carry_out, record  # its handlers see an alert before ours
from gwbatch.orchestrator.topics import SUPEREVENT_TOPICS
from gwbatch.superevents import Manager, Superevent
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.manager import EARLY_WARNING
from gwbatch.superevents.ranking import preference

DQR_REQUEST = "DQR_REQUEST"
DAY = 86400.0
SENT = ("frozen", "delivered", "stored")


def chain_topics(policy: Policy, profile: Profile) -> tuple[str, ...]:
    """Return the topics that the chain follows; none if alerts are off."""
    return () if profile.alerts.mode == "off" else SUPEREVENT_TOPICS


# ---- labels ------------------------------------------------------------------------------------------------


@igwn_alert.handler(chain_topics, queue="superevent", name="gwbatch.alerts.handle_superevent")
def handle_superevent(payload: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Plan the notice that a label on a superevent asks for, or plan notices again that a label no longer blocks."""
    alert = Alert.parse(payload)
    superevent = _followed(alert, context)
    if superevent is None:
        return
    label, alert_type = alert.label, alert.type
    if alert_type == "new":
        yield from _check_data(superevent, "new", context)
    elif alert_type == "event_added" and DQV in superevent.labels:
        yield from _check_data(superevent, f"event added, {context.message_id}", context)
    if alert_type == "label_added":
        kind = kind_asked_for_by(label)
        if kind is not None:
            yield from plan(kind, superevent, f"the label {label} was set", context, _occasion(kind, alert, context))
        if label == EARLY_WARNING:
            due = context.now + context.policy.alerts.dqr_after_early_warning
            context.schedule(RequestDataQuality(superevent.key), due, superevent.key)
    if (alert_type == "label_added" and label == DQOK) or (alert_type == "label_removed" and label in VETOES):
        yield from _plan_again(superevent, context)


@on(LabelDecided, name="gwbatch.alerts.handle_own_label")
def handle_own_label(message: LabelDecided, context: Context) -> Iterator[Effect]:
    """Plan the notice for a label as soon as we decide to set it; GraceDB's later alert asks for nothing more."""
    superevent, kind = context.mirror.superevent(message.superevent), kind_asked_for_by(message.label)
    if superevent is None or kind is None or not kind.is_automatic:
        return
    if context.profile.alerts.covers(superevent.category):
        yield from plan(kind, superevent, f"we set the label {message.label}", context)


def _followed(alert: Alert, context: Context) -> Superevent | None:
    """Return the superevent of an alert if its category gets notices."""
    if alert.superevent_id is None or context.other_server(alert):
        return None
    superevent = context.mirror.superevent_named(alert.superevent_id)
    covered = superevent is not None and context.profile.alerts.covers(superevent.category)
    return superevent if covered else None


def _occasion(kind: AlertKind, alert: Alert, context: Context) -> str:
    """Return the occasion of a notice: empty if it is automatic and goes out once, else unique to the label's alert."""
    if kind.is_automatic:
        return ""
    return f"{alert.data.get('created')} {messages.digest_of(context.tx, context.message_id)}"


def _plan_again(superevent: Superevent, context: Context) -> Iterator[Effect]:
    """Plan notices again that a veto blocked, now that the veto is gone."""
    for notice in public_notices.about(context.tx, superevent.key):
        young = context.now - notice.planned < context.policy.alerts.oldest
        if notice.state == "refused" and young and (notice.reason or "").startswith("blocked"):
            occasion, orders = public_notices.asked_for_by(context.tx, notice.id), notice.orders
            kind = kind_named(notice.kind)
            yield from plan(kind, superevent, "nothing blocks it any longer", context, occasion, orders, again=True)


# ---- planning ----------------------------------------------------------------------------------------------


def plan(
    kind: AlertKind,
    superevent: Superevent,
    why: str,
    context: Context,
    occasion: str = "",
    orders: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
) -> Iterator[Effect]:
    """Plan a notice, once for each occasion; it is judged, frozen and sent as soon as its files are available.

    Parameters
    ----------
    again : bool
        Plan it once more if it was refused.
    """
    if not again and public_notices.is_known(context.tx, superevent.key, kind.name, occasion):
        return
    reason = refusal_at_start(kind, frozenset(superevent.labels)) or _nothing_to_retract(kind, superevent, context)
    if reason is not None:
        decision = Decision(Action.NO_NOTICE, superevent.key, {"notice": kind.name}, reason)
        if not decisions.is_recorded(context.tx, decision):  # our own label asks first, then GraceDB's alert about it
            context.record(decision)
        return
    if kind.reselects:
        selected = Manager(context.policy).reselect(superevent, context.mirror)
        record(selected, context)
        yield from carry_out(selected, context)
    notice = public_notices.plan(
        context.tx, superevent.key, superevent.category, kind.name, context.now, occasion, orders, again=again
    )
    if notice is None:
        return
    context.record(Decision(Action.NOTICE, superevent.key, {"notice": notice.name}, why))
    if context.profile.alerts.expose and superevent.category == "production" and _writes(context) and kind.has_event:
        yield Expose(superevent.key, after=creation_of(superevent.key))
    if _writes(context) and not is_our_superevent(superevent.key):
        yield RecallNotices(superevent.key)
    if kind.checks_data:
        yield from _check_data(superevent, notice.name, context)
    yield FreezeNotice(superevent.key, notice.id, notice.name, str(context.message_id))
    effects.wake(context.tx, FreezeNotice(superevent.key, notice.id, notice.name).subject)


def _check_data(superevent: Superevent, occasion: str, context: Context) -> Iterator[Effect]:
    """Request a check of the data around a superevent if the site has frames; mock data have none."""
    if context.profile.alerts.has_frames and superevent.category == "production":
        yield CheckData(superevent.key, occasion)


def _nothing_to_retract(kind: AlertKind, superevent: Superevent, context: Context) -> str | None:
    if kind.has_event or context.policy.alerts.retract_unannounced:
        return None
    sent = any(notice.state in SENT for notice in public_notices.about(context.tx, superevent.key))
    return None if sent else "nothing to retract: no notice was sent"


def _writes(context: Context) -> bool:
    """Return whether the chain writes to GraceDB; in a dry run beside another system it does not."""
    return not context.profile.alerts.dry_run


# ---- timers ------------------------------------------------------------------------------------------------


@on(SecondNotice, name="gwbatch.alerts.handle_second")
def handle_second(message: SecondNotice, context: Context) -> Iterator[Effect]:
    """Plan the second notice, minutes after the first, about the event that is preferred now."""
    superevent, kind = context.mirror.superevent(message.superevent), kind_named(message.kind)
    if superevent is None:
        return
    if _writes(context):
        yield from _prefer_best_of_pipelines(superevent, context)
        if kind.name == "second-preliminary":
            yield Label(superevent.key, DQR_REQUEST)
    why = f"{context.policy.alerts.second_after:g} s have passed since the first"
    yield from plan(kind, superevent, why, context)


def _prefer_best_of_pipelines(superevent: Superevent, context: Context) -> Iterator[Effect]:
    best: dict[str, Any] = {}
    for event in (context.mirror.event(graceid) for graceid in superevent.events):
        if event is None or event.group not in ("cbc", "burst"):
            continue
        known = best.get(event.pipeline)
        if known is None or preference(event, context.policy) > preference(known, context.policy):
            best[event.pipeline] = event
    for event in best.values():
        yield PreferPipelineEvent(superevent.key, event.graceid, str(context.message_id))


@on(RequestDataQuality, name="gwbatch.alerts.handle_data_quality_request")
def handle_data_quality_request(message: RequestDataQuality, context: Context) -> Iterator[Effect]:
    """Ask for a data quality report some minutes after an early warning."""
    superevent = context.mirror.superevent(message.superevent)
    if superevent is not None and _writes(context):
        yield Label(superevent.key, DQR_REQUEST)


# ---- orders ------------------------------------------------------------------------------------------------


@on(SendNotice, name="gwbatch.alerts.handle_order")
def handle_order(order: SendNotice, context: Context) -> Iterator[Effect]:
    """Plan the notice that an operator has ordered."""
    superevent = context.mirror.superevent(order.superevent)
    if superevent is None:
        raise BadInput(f"There is no superevent {order.superevent!r}.")
    if not context.profile.alerts.covers(superevent.category):
        raise BadInput(
            f"Cannot send a notice about {order.superevent}: alerts about {superevent.category} superevents are off "
            "(alerts.mode in the site profile)."
        )
    kind = kind_named(order.kind)
    because = f" ({order.why})" if order.why else ""
    yield Log(
        superevent.key, f"User {order.by} ordered the {kind.name} notice{because}.", ("em_follow",), f"order/{order.at}"
    )
    if order.event and order.event != superevent.preferred:
        event = context.mirror.event(order.event)
        if event is None or event.graceid not in superevent.events:
            raise BadInput(f"{order.event} is not a member of {superevent.key}.")
        # Other software waits for exactly this sentence.
        text = f"User {order.by} queued a preferred event change to {event.graceid}."
        yield Log(superevent.key, text, ("em_follow",), f"order/{order.at}/prefer")
        detail = {"preferred": event.graceid, "t_0": event.gpstime}
        chosen = [Decision(Action.UPDATE, superevent.key, detail, f"ordered by {order.by}")]
        record(chosen, context)
        yield from carry_out(chosen, context)
    orders = {"by": order.by, "why": order.why, "files": order.files}
    yield from plan(kind, superevent, f"ordered by {order.by}{because}", context, f"{order.by} {order.at}", orders)


@on(ReleaseNotice, name="gwbatch.alerts.handle_release")
def handle_release(order: ReleaseNotice, context: Context) -> Iterator[Effect]:
    """Send a withheld notice on an operator's order."""
    notice = public_notices.get(context.tx, order.notice)
    if notice is None:
        raise BadInput(f"There is no notice {order.notice}.")
    waiting = public_notices.release(context.tx, notice.id)
    if not waiting:
        raise BadInput(
            f"Cannot release the notice {notice.name} about {notice.superevent}: no broker is waiting for it."
        )
    reason = f"released by {order.by}" + (f": {order.why}" if order.why else "")
    context.record(Decision(Action.NOTICE, notice.superevent, {"notice": notice.name}, reason))
    for send in waiting:
        yield PublishNotice(notice.superevent, notice.id, notice.name, send.broker, send.round)


# ---- housekeeping ------------------------------------------------------------------------------------------


@every(3600, name="gwbatch.alerts.forget")
def forget(_tick: dict[str, Any], context: Context) -> None:
    """Drop the bytes of old finished or withheld notices; the records of their content stay."""
    keep = context.profile.keep_days * DAY
    public_notices.forget_bodies(context.tx, context.now - keep, context.now - 10 * keep)
