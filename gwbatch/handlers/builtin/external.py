"""The external trigger lane: notices, alerts, changed superevents and ended jobs go in; each ends in a judgement.

Whatever comes, the state that follows is computed anew from all that is known, so the order of arrival does not
matter: `combine` for one trigger's notices, `coincidences.judge` for what it coincides with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gwbatch import effects
from gwbatch.effects import Effect
from gwbatch.external import Notice, Trigger, combine, parse_notice
from gwbatch.external.coincidence import NOT_GRB
from gwbatch.external.notices import external_key, is_external
from gwbatch.handlers.builtin import jobs
from gwbatch.handlers.builtin.coincidences import judge, judge_all_near
from gwbatch.handlers.builtin.external_labels import relabel
from gwbatch.handlers.builtin.external_maps import plan_map, take_result
from gwbatch.handlers.registry import Context
from gwbatch.ledger import messages
from gwbatch.ledger.external import External
from gwbatch.model import Decision, JobState
from gwbatch.superevents.admission import added_label, foreign_server


def handle_notice(payload: Any, context: Context) -> Iterator[Effect]:
    """A notice of an observatory: make its external event, replace it, or keep the notice beside a better one."""
    notice = parse_notice(context.topic, payload)
    if notice.drop:
        detail = {"external": notice.key, "notice": notice.kind}
        context.record(Decision("drop", None, detail, notice.drop))
        return
    context.refuse_the_future(notice.time, f"trigger {notice.trigger_id} of {notice.observatory}")
    content = payload if isinstance(payload, bytes) else json.dumps(payload, sort_keys=True).encode()
    digest = messages.digest(content)
    before = context.externals.get(notice.key)
    context.externals.add_notice(digest, notice.key, context.topic, content, context.now)
    trigger = combine(context.externals.notices(notice.key))
    assert trigger is not None  # this notice counts
    context.externals.put(notice.key, trigger, context.now)
    yield from _write(before, notice, digest, trigger, context)
    yield from _set_not_grb(notice.key, "; ".join(trigger.reasons) or "a burst after all", context, new=before is None)
    yield from plan_map(notice.key, context)
    yield from judge(notice.key, context)


def handle_alert(alert: dict[str, Any], context: Context) -> Iterator[Effect]:
    """An alert about an external event: somebody else's labels count, above all NOT_GRB."""
    event = known(alert, context)
    alert_type, label = alert.get("alert_type"), added_label(alert)
    if event is None or alert_type not in ("label_added", "label_removed") or not label:
        return
    added = alert_type == "label_added"
    change = f"{'+' if added else '-'}{label}"
    if change in event.expected:
        seen = event.expected.index(change)
        # Alerts about one label come in the order of its changes; those of other labels may overtake.
        others = [one for one in event.expected[:seen] if one[1:] != label]
        context.externals.expect(event.key, [*others, *event.expected[seen + 1 :]])
        return
    if added == (label in event.labels):
        return
    if label == NOT_GRB:
        context.externals.overrule(event.key, added)
        detail = {"external": event.key, "set": added}
        context.record(Decision("not_grb", None, detail, "set by hand" if added else "taken away by hand"))
        yield from judge(event.key, context)
    else:
        others = [name for name in event.labels if name != label]
        context.externals.set_labels(event.key, [*others, *([label] if added else [])])


def handle_superevent_changed(message: dict[str, Any], context: Context) -> Iterator[Effect]:
    """A superevent is new, re-timed, or has another preferred event or sky map."""
    yield from judge_all_near(str(message.get("superevent")), context)


def handle_job(message: dict[str, Any], context: Context) -> Iterator[Effect]:
    """A job for an external event ended."""
    job = jobs.ended(message, context)
    if job is None or not is_external(job.subject):
        return
    key = job.subject.partition("/")[0]
    if job.state is JobState.DONE:
        yield from take_result(job, context)
        yield from judge(key, context)
    elif jobs.failed(job) and not jobs.try_again(job, context):
        yield jobs.say_failed(job, key)


def _write(
    before: External | None, notice: Notice, digest: str, trigger: Trigger, context: Context
) -> Iterator[Effect]:
    """What becomes of one notice in GraceDB: the event, its replacement, or a file beside it."""
    key, args = notice.key, {"external": notice.key, "notice": digest}
    detail = {"external": key, "notice": notice.kind}
    if before is None:
        context.record(Decision("external_create", None, {**detail, "search": notice.search}, "its first notice"))
        labels = [] if trigger.grb else [NOT_GRB]
        yield Effect(
            f"{key}/create", "gracedb.create_external", key, {**args, "labels": labels}, None, effects.LABEL_PRIORITY
        )
    elif trigger.chosen == digest:
        reason = f"{notice.kind} counts above what came before"
        context.record(Decision("external_replace", None, {**detail, "search": notice.search}, reason))
        yield Effect(f"{key}/replace/{digest}", "gracedb.replace_external", key, args, None, effects.LABEL_PRIORITY)
    else:
        context.record(Decision("none", None, detail, f"another notice counts above {notice.kind}; its data is kept"))
        yield Effect(f"{key}/keep/{digest}", "gracedb.keep_notice", key, args, None, effects.UPLOAD_PRIORITY)


def _set_not_grb(key: str, reason: str, context: Context, *, new: bool) -> Iterator[Effect]:
    event = context.externals.get(key)
    assert event is not None
    wanted = not event.grb
    if wanted == (NOT_GRB in event.labels):
        return
    context.record(Decision("not_grb", None, {"external": key, "set": wanted}, reason))
    effect = relabel(key, NOT_GRB, context, on=wanted)
    if not new:  # a new event is created with its labels
        yield effect


def known(alert: Mapping[str, Any], context: Context) -> External | None:
    """The external event of ours that an alert is about; by its trigger while we do not know its id yet."""
    data = alert.get("object")
    url = context.profile.gracedb.url
    if not isinstance(data, Mapping) or (url and foreign_server(alert, url)):
        return None
    event = context.externals.named(str(data.get("graceid")))
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
