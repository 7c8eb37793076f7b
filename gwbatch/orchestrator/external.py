"""The external trigger lane, which reevaluates events after notices, alerts, changed superevents and ended jobs.

Each time, gwbatch recomputes the state from all that it knows, so the order of arrival does not matter.
`merge_notices` combines the notices of one trigger, and `coincidences.reevaluate` finds what it coincides with.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gwbatch.effects import Effect
from gwbatch.effects.kinds import AdoptExternal, CreateExternal, KeepNotice, ReadExternal, ReplaceExternal
from gwbatch.external import Notice, Trigger, ignored, merge_notices, parse_notice
from gwbatch.external.coincidence import NOT_GRB
from gwbatch.external.event import ExternalEvent
from gwbatch.external.in_gracedb import as_in_gracedb, notice_of_event, said_of
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import gcn, igwn_alert, on
from gwbatch.handlers.messages import ExternalFound, JobEnded, SupereventChanged
from gwbatch.keys import external_key, is_external
from gwbatch.ledger import messages
from gwbatch.model import Action, Decision, JobState
from gwbatch.orchestrator import jobs
from gwbatch.orchestrator.coincidences import reevaluate, reevaluate_all_near
from gwbatch.orchestrator.external_adoption import look_up
from gwbatch.orchestrator.external_labels import relabel
from gwbatch.orchestrator.external_skymaps import plan_map, take_result
from gwbatch.orchestrator.topics import external_topics, notice_topics
from gwbatch.superevents.alert import Alert


@gcn.handler(notice_topics, queue="exttrig", name="gwbatch.external.handle_notice")
def handle_notice(payload: Any, context: Context) -> Iterator[Effect]:
    """Create or replace the external event of a notice, or keep the notice as a file beside a better one."""
    notice = parse_notice(context.topic, payload)
    if _is_ignored(notice, context):
        return
    content = payload if isinstance(payload, bytes) else json.dumps(payload, sort_keys=True).encode()
    before = context.externals.get(notice.key)
    digest, is_new, trigger = _take(notice, context.topic, content, context)
    if is_new:
        yield from _write(before, notice, digest, trigger, context)
    yield from _apply_trigger(notice.key, trigger, context, new=before is None)


@on(ExternalFound, name="gwbatch.external.handle_found")
def handle_found(message: ExternalFound, context: Context) -> Iterator[Effect]:
    """Adopt an external event in GraceDB that none of our notices created, with its file."""
    data, topic, said = message.object, message.filename or "", said_of(message.object)
    file = None if message.content is None else base64.b64decode(message.content)
    content, graceid = notice_of_event(data, topic, file), str(data["graceid"])
    notice = as_in_gracedb(parse_notice(topic, content), said)
    if _is_ignored(notice, context):
        return
    known_as, before = context.externals.by_graceid(graceid), context.externals.get(notice.key)
    if known_as is not None and known_as.key != notice.key:
        yield from _give_up(known_as, f"the file of {graceid} is of another trigger now", context)
        return
    if before is not None and before.graceid != graceid:
        # If ours has no id, its creation is in progress. It will find this event and have it read again.
        reason = f"{graceid} is of a trigger that {before.graceid or 'an event of ours'} stands for"
        context.record(Decision(Action.NONE, None, {"external": notice.key}, reason))
        return
    labels = [str(label) for label in data.get("labels") or []]
    _, _, trigger = _take(notice, topic, content, context, said)
    if before is None or message.existing:
        context.externals.adopt(notice.key, graceid)
        context.externals.set_labels(notice.key, [*labels, *(before.labels if before else ())])
        if NOT_GRB in labels and trigger.is_burst:
            context.externals.set_not_grb(notice.key, True)
    if before is None:
        detail = {"external": notice.key, "search": notice.search, "graceid": graceid}
        context.record(Decision(Action.EXTERNAL_ADOPT, None, detail, "somebody else made it in GraceDB"))
        yield AdoptExternal(graceid, notice.key)
    yield from _apply_trigger(notice.key, trigger, context, new=False)


def _give_up(event: ExternalEvent, reason: str, context: Context) -> Iterator[Effect]:
    """Veto an event that now belongs to another trigger, so that nothing more is announced for it."""
    context.externals.set_not_grb(event.key, True)
    context.record(Decision(Action.NOT_GRB, None, {"external": event.key, "set": True}, reason))
    yield from reevaluate(event.key, context)


def _is_ignored(notice: Notice, context: Context) -> bool:
    reason = ignored(notice, context.policy.external)
    if reason:
        detail = {"external": notice.key, "notice": notice.kind}
        context.record(Decision(Action.DROP, None, detail, reason))
        return True
    context.reject_future_time(notice.time, f"trigger {notice.trigger_id} of {notice.observatory}")
    return False


def _take(
    notice: Notice, topic: str, content: bytes, context: Context, said: Mapping[str, Any] | None = None
) -> tuple[str, bool, Trigger]:
    """Store a notice and update its trigger; return the notice's hash, whether it is new, and the trigger."""
    digest = messages.digest(content)
    before = context.externals.get(notice.key)
    is_new = context.externals.add_notice(digest, notice.key, topic, content, context.now, said)
    trigger = merge_notices(context.externals.notices(notice.key), context.policy.external)
    assert trigger is not None  # this notice counts
    context.externals.put(notice.key, trigger, context.now)
    if before is not None and before.not_grb_override is False and set(trigger.reasons) - set(before.reasons):
        context.externals.set_not_grb(notice.key, None)  # NOT_GRB was removed before this reason was known
    return digest, is_new, trigger


def _apply_trigger(key: str, trigger: Trigger, context: Context, *, new: bool) -> Iterator[Effect]:
    """Update the veto, the sky map and the coincidences of a changed trigger."""
    yield from _set_not_grb(key, trigger, context, new=new)
    yield from plan_map(key, context)
    yield from reevaluate(key, context)


@igwn_alert.handler(external_topics, queue="exttrig", name="gwbatch.external.handle_alert")
def handle_alert(payload: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Mirror somebody else's changes of labels on an external event, above all of NOT_GRB."""
    alert = Alert.parse(payload)
    if context.other_server(alert):
        return
    event, label = known(alert, context), alert.label
    if event is None or (event.adopted and alert.type == "update"):
        found = look_up(alert)
        if found is not None and (not context.live or not context.profile.gracedb.url):
            yield from handle_found(ExternalFound(found), context)  # a replay queries no server
        elif found is not None:
            yield ReadExternal(str(found["graceid"]), occasion=str(context.message_id))
        elif event is None:
            context.record(Decision(Action.DROP, reason="about an external event that is not known here"))
        return
    if alert.type not in ("label_added", "label_removed") or not label:
        return
    added = alert.type == "label_added"
    change = f"{'+' if added else '-'}{label}"
    if change in event.pending_writes:
        seen = event.pending_writes.index(change)
        # Alerts about one label arrive in the order of its changes, but alerts about other labels may overtake them.
        others = [one for one in event.pending_writes[:seen] if one[1:] != label]
        context.externals.set_pending(event.key, [*others, *event.pending_writes[seen + 1 :]])
        return
    if added == (label in event.labels):
        return
    if label == NOT_GRB:
        context.externals.set_not_grb(event.key, added)
        detail = {"external": event.key, "set": added}
        context.record(Decision(Action.NOT_GRB, None, detail, "set by hand" if added else "taken away by hand"))
        yield from reevaluate(event.key, context)
    else:
        others = [name for name in event.labels if name != label]
        context.externals.set_labels(event.key, [*others, *([label] if added else [])])


@on(SupereventChanged, name="gwbatch.external.handle_superevent_changed")
def handle_superevent_changed(message: SupereventChanged, context: Context) -> Iterator[Effect]:
    """Look for coincidences of a superevent that is new, re-timed, or has another preferred event or sky map."""
    yield from reevaluate_all_near(message.superevent, context)


@on(JobEnded, queue="exttrig", name="gwbatch.external.handle_job")
def handle_job(message: JobEnded, context: Context) -> Iterator[Effect]:
    """Store the product of a job for an external event, try the job again, or report its failure."""
    job = jobs.ended(message, context)
    if job is None or not is_external(job.subject):
        return
    key = job.subject.partition("/")[0]
    if job.state is JobState.DONE:
        yield from take_result(job, context)
        yield from reevaluate(key, context)
    elif jobs.failed(job) and not jobs.try_again(job, context):
        yield jobs.say_failed(job, key)


def _write(
    before: ExternalEvent | None, notice: Notice, digest: str, trigger: Trigger, context: Context
) -> Iterator[Effect]:
    """Write a notice to GraceDB: as a new event, as its replacement, or as a file beside it."""
    key = notice.key
    detail = {"external": key, "notice": notice.kind}
    if before is None:
        context.record(Decision(Action.EXTERNAL_CREATE, None, {**detail, "search": notice.search}, "its first notice"))
        yield CreateExternal(key, digest, () if trigger.is_burst else (NOT_GRB,))
    elif trigger.best_notice == digest:
        reason = f"{notice.kind} counts above what came before"
        context.record(Decision(Action.EXTERNAL_REPLACE, None, {**detail, "search": notice.search}, reason))
        yield ReplaceExternal(key, digest)
    else:
        context.record(
            Decision(Action.NONE, None, detail, f"another notice counts above {notice.kind}; its data is kept")
        )
        yield KeepNotice(key, digest)


def _set_not_grb(key: str, trigger: Trigger, context: Context, *, new: bool) -> Iterator[Effect]:
    event = context.externals.get(key)
    assert event is not None
    wanted = not event.is_burst
    if wanted == (NOT_GRB in event.labels) or (wanted and trigger.notice.described):
        return  # an unreadable file puts no label on somebody else's event, which is not announced anyway
    reason = "; ".join(trigger.reasons) or "a burst after all"
    context.record(Decision(Action.NOT_GRB, None, {"external": key, "set": wanted}, reason))
    effect = relabel(key, NOT_GRB, context, on=wanted)
    if not new:  # a new event is created with its labels
        yield effect


def known(alert: Alert, context: Context) -> ExternalEvent | None:
    """Return our external event that an alert is about, found by its trigger while we do not know its id yet."""
    data = alert.object
    if data is None:
        return None
    event = context.externals.by_graceid(str(data.get("graceid")))
    if event is not None:
        return event
    extra = data.get("extra_attributes")
    grb = extra.get("GRB") if isinstance(extra, Mapping) else None
    trigger_id = grb.get("trigger_id") if isinstance(grb, Mapping) else None
    test, mdc, time = data.get("group") == "Test", data.get("search") == "MDC", data.get("gpstime") or 0.0
    event = context.externals.get(
        external_key(str(data.get("pipeline")), str(trigger_id), test=test, mdc=mdc, time=time)
    )
    return event if event is not None and event.graceid is None else None
