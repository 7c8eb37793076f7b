"""Joining the annotation graph to effects: which jobs start, and what happens with what they made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gwbatch import effects
from gwbatch.annotation import COPIES, PIPELINE_UPLOADS, Scope, job_priority, makeable, product_named
from gwbatch.annotation.graph import COINC, MAP, PSD
from gwbatch.effects import Effect
from gwbatch.external.coincidence import PE_READY
from gwbatch.handlers.builtin import jobs
from gwbatch.handlers.registry import SUPEREVENT_CHANGED, Context
from gwbatch.keys import creation_of, is_external
from gwbatch.ledger import mirror
from gwbatch.ledger.jobs import Job, get
from gwbatch.model import JobState
from gwbatch.superevents import Event, parse_event
from gwbatch.superevents.admission import foreign_server, refusal
from gwbatch.superevents.ranking import is_significant

# ---- events ---------------------------------------------------------------------------------------------


def handle_event(alert: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Start the chains of a CBC event: its sky map when it is new, labels when a pipeline brings a product."""
    data = alert.get("object")
    if (
        alert.get("alert_type") not in ("new", "log")
        or not context.profile.gracedb.url
        or not isinstance(data, Mapping)
    ):
        return
    if foreign_server(alert, context.profile.gracedb.url):
        return
    if data.get("processing_status") == "reserved":
        return
    event = parse_event(data)
    if event.group != "cbc" or refusal(event, context.policy) is not None:
        return
    if alert["alert_type"] == "log":
        yield from _pipeline_upload(event, alert.get("data"), context)
    elif event.pipeline not in context.policy.burst_like_pipelines:  # those bring no coincidence to localize
        yield from _plan_event_products(event, COINC, context)


def _plan_event_products(event: Event, changed: str, context: Context) -> Iterator[Effect]:
    """Plan what can be made of an event now that one of its files is there; nothing that somebody else made."""
    graceid, stored = event.graceid, context.mirror.products(event.graceid)
    have: dict[str, Mapping[str, Any]] = {COINC: {}, **{name: known.facts for name, known in stored.items()}}
    for product in makeable(Scope.EVENT, have, changed, context.policy.annotation):
        existing = stored.get(product.name)
        if existing is not None and existing.path is None:
            continue
        used = [name for name in product.optional if name in have]
        if changed in used and not _failed_without(changed, jobs.job_key(product, graceid, "0"), context):
            continue
        version = "+".join(name.partition(".")[0] for name in used) or "0"
        sources = {name: {"gracedb": [graceid, name]} for name in (*product.needs, *used)}
        priority = job_priority(product, is_significant(event, context.policy))
        yield from jobs.plan(product, graceid, version, sources, priority, context, graceid=graceid)


def _failed_without(optional: str, key: str, context: Context) -> bool:
    """Whether a job that could use an optional file failed without it, or was never planned."""
    job = get(context.tx, key)
    return job is None or (job.state is JobState.FAILED and optional not in job.request["inputs"])


def _pipeline_upload(event: Event, entry: Any, context: Context) -> Iterator[Effect]:
    """A log message with a file: a product that a pipeline made itself, or the PSD that a sky map waited for."""
    filename = str(entry.get("filename") or "") if isinstance(entry, Mapping) else ""
    name = next((known for known in PIPELINE_UPLOADS if filename == known or filename.endswith(f".{known}")), None)
    if filename == PSD:
        context.mirror.put_product(mirror.Product(event.graceid, PSD, "0", None, {}), context.now)
        yield from _plan_event_products(event, PSD, context)
    elif name is not None:
        version = str(entry.get("file_version") or 0)
        context.mirror.put_product(
            mirror.Product(event.graceid, name, version, None, {"filename": filename}), context.now
        )
        yield effects.label(event.graceid, PIPELINE_UPLOADS[name])
        yield from _annotate_superevent_of(event.graceid, context)


# ---- superevents ------------------------------------------------------------------------------------------


def annotate_superevent(key: str, context: Context) -> Iterator[Effect]:
    """Give a superevent the products of its preferred event, and have the sky map plotted.

    Called whenever something changed that could matter; it asks only for what is missing.
    """
    superevent = context.mirror.superevent(key)
    settings = context.policy.annotation
    if (
        superevent is None
        or not context.profile.gracedb.url
        or not set(superevent.labels) & set(settings.superevent_when)
    ):
        return
    key = superevent.key  # the one asked for may have been merged into another
    of_event = context.mirror.products(superevent.preferred)
    of_superevent = context.mirror.products(key)
    created = creation_of(key)
    for copied in COPIES:
        name, tags = copied.name, copied.tags
        source = of_event.get(name)
        if source is None or (name == MAP and name in of_superevent and PE_READY in superevent.labels):
            continue
        content = f"{superevent.preferred}.{source.version}"
        version = next_version(content, of_superevent.get(name))
        if version is None:
            continue
        text = copied.comment.format(event=superevent.preferred)
        context.mirror.put_product(mirror.Product(key, name, version, source.path, source.facts), context.now)
        if source.path is not None:
            yield effects.upload(key, name, source.path, comment=text, tags=tags, version=version, after=created)
        else:
            yield effects.copy_file(
                superevent.preferred, key, name, source_name=source.facts.get("filename", name), version=version,
                comment=text, tags=tags, after=created,
            )  # fmt: skip
        place = {"gracedb": [superevent.preferred, source.facts.get("filename", name)]}
        inputs = {name: place if source.path is None else {"path": source.path}}
        significant = _is_significant(superevent.preferred, context)
        for product in makeable(Scope.SUPEREVENT, {name: source.facts}, name, settings):
            priority = job_priority(product, significant)
            yield from jobs.plan(product, key, version, inputs, priority, context, graceid=key)


def next_version(content: str, known: mirror.Product | None) -> str | None:
    """The version under which a superevent gets a content: numbered, for what is preferred may change back."""
    if known is None:
        return content
    before, _, generation = known.version.partition("~")
    return None if before == content else f"{content}~{int(generation or 1) + 1}"


def _is_significant(graceid: str, context: Context) -> bool:
    event = context.mirror.event(graceid)
    return event is not None and is_significant(event, context.policy)


def _annotate_superevent_of(graceid: str, context: Context) -> Iterator[Effect]:
    superevent = context.mirror.superevent_of(graceid)
    if superevent is not None and superevent.preferred == graceid:
        context.tell(SUPEREVENT_CHANGED, {"superevent": superevent.key}, "exttrig")
        yield from annotate_superevent(superevent.key, context)


# ---- jobs -------------------------------------------------------------------------------------------------


def handle_job(message: dict[str, Any], context: Context) -> Iterator[Effect]:
    """A job ended: take over what it made, or try again, or say that it failed."""
    job = jobs.ended(message, context)
    if job is None or is_external(job.subject):
        return
    if job.state is JobState.DONE:
        yield from _take_result(job, context)
    elif jobs.failed(job):
        yield from _after_failure(job, context)


def _take_result(job: Job, context: Context) -> Iterator[Effect]:
    product, version = product_named(job.request["product"]), job.request["version"]
    made_from = context.mirror.product(job.subject, product.needs[0])
    if made_from is not None and made_from.version != version:
        return  # the preferred event has changed meanwhile: what is made from its files counts
    facts = (job.result or {}).get("facts", {})
    path = str(Path(job.directory or "") / product.name)
    context.mirror.put_product(mirror.Product(job.subject, product.name, version, path, facts), context.now)
    created = creation_of(job.subject)
    upload = effects.upload(
        job.subject,
        product.name,
        path,
        comment=jobs.comment(product, facts),
        tags=product.tags,
        version=version,
        after=created,
    )
    yield upload
    if product.label is not None:
        yield effects.label(job.subject, product.label, after=upload.key)
        yield from _annotate_superevent_of(job.subject, context)


def _after_failure(job: Job, context: Context) -> Iterator[Effect]:
    if jobs.try_again(job, context):
        return
    event = context.mirror.event(job.subject)
    unused = [name for name in product_named(job.request["product"]).optional if name not in job.request["inputs"]]
    again = [] if event is None else [
        effect for name in unused if context.mirror.product(job.subject, name)
        for effect in _plan_event_products(event, name, context)
    ]  # fmt: skip
    yield from again or [jobs.say_failed(job, job.subject)]
