"""Annotation of events and superevents: which jobs start, and what happens with their products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gwbatch import effects
from gwbatch.annotation import COPIES, Copied, Scope, job_priority, made_for, makeable, named_after
from gwbatch.annotation.graph import MAP, SAMPLES, SAMPLES_MAP, UPLOADED_MAP
from gwbatch.effects import Effect
from gwbatch.external.coincidence import PE_READY
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import igwn_alert, on
from gwbatch.handlers.messages import EventLabelled, JobEnded, SupereventChanged
from gwbatch.keys import creation_of, is_external
from gwbatch.ledger.jobs import Job
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import JobState
from gwbatch.orchestrator import event_products, jobs
from gwbatch.orchestrator.topics import search_topics
from gwbatch.superevents import Superevent, parse_event
from gwbatch.superevents.admission import refusal
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.ranking import is_significant

ANNOTATED = ("cbc", "burst")  # groups of events

# ---- events ---------------------------------------------------------------------------------------------


@igwn_alert.handler(search_topics, name="gwbatch.annotate.handle_event")
def handle_event(payload: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Plan the products of a new event, and record the files that its pipeline uploads."""
    alert = Alert.parse(payload)
    data = alert.object
    if alert.type not in ("new", "log") or not context.profile.gracedb.url or data is None:
        return
    if context.other_server(alert) or data.get("processing_status") == "reserved":
        return
    event = parse_event(data)
    if event.group not in ANNOTATED or refusal(event, context.policy) is not None:
        return
    if alert.type == "new":
        yield from event_products.plan_new(event, data, context)
    else:
        taken = list(event_products.take_upload(event, data, alert.data, context))
        yield from taken
        if taken:
            yield from _annotate_superevent_of(event.graceid, context)


# ---- superevents ------------------------------------------------------------------------------------------


def annotate_superevent(key: str, context: Context) -> Iterator[Effect]:
    """Give a superevent the products of its preferred event, and plan pictures of them.

    Handlers call this after every change that could matter; it requests only what is missing.
    """
    superevent = context.mirror.superevent(key)
    settings = context.policy.annotation
    if (
        superevent is None
        or not context.profile.gracedb.url
        or not set(superevent.labels) & set(settings.superevent_when)
    ):
        return
    of_event = context.mirror.products(superevent.preferred)
    of_superevent = context.mirror.products(superevent.key)  # `key` may have been merged into this one
    for copied in COPIES:
        source, shown = of_event.get(copied.name), of_superevent.get(copied.name)
        if source is None or (copied.name == MAP and shown is not None and PE_READY in superevent.labels):
            continue
        version = next_version(f"{superevent.preferred}.{source.version}", shown)
        if version is not None:
            yield from _copy(copied, source, version, superevent, context)
    samples = of_superevent.get(SAMPLES)
    if samples is not None:
        place = event_products.locate(superevent.key, SAMPLES, samples)
        yield from _picture(samples, place, superevent.preferred, context)


def _copy(
    copied: Copied, source: StoredProduct, version: str, superevent: Superevent, context: Context
) -> Iterator[Effect]:
    """Copy a product of the preferred event, set its label on the superevent, and plan pictures of it."""
    key, event, created = superevent.key, superevent.preferred, creation_of(superevent.key)
    shown = StoredProduct(key, copied.name, version, source.path, source.facts)
    context.mirror.put_product(shown, context.now)
    filename, comment = source.facts.get("filename", copied.name), copied.comment.format(event=event)
    copy: Effect
    if source.path is not None:
        copy = effects.upload(
            key, filename, source.path, comment=comment, tags=copied.tags, version=version, after=created,
            urgent=copied.name == MAP,
        )  # fmt: skip
    else:
        copy = effects.copy_file(
            event, key, filename, source_name=event_products.file_of(source), version=version, comment=comment,
            tags=copied.tags, after=created, urgent=copied.name == MAP,
        )  # fmt: skip
    yield copy
    if copied.label is not None and copied.label not in superevent.labels:
        yield effects.label(key, copied.label, after=copy.key)
    yield from _picture(shown, event_products.locate(event, copied.name, source), event, context)


def _picture(shown: StoredProduct, place: dict[str, Any], event: str, context: Context) -> Iterator[Effect]:
    """Plan the products that a superevent's file, found at `place`, allows."""
    preferred = context.mirror.event(event)
    significant = preferred is not None and is_significant(preferred, context.policy)
    theirs = shown.facts.get("filename", shown.name)
    for product in makeable(Scope.SUPEREVENT, {shown.name: shown.facts}, shown.name, context.policy.annotation):
        if preferred is not None and not made_for(product, preferred, context.policy.annotation):
            continue
        named = product.filename.format(prefix=theirs.removesuffix(f".{shown.name}"))
        if product.name == SAMPLES_MAP and _has_map(shown.subject, named, context):
            continue  # the author of the samples made a map of them
        filename = named or named_after(product.name, shown.name, theirs)
        priority = job_priority(product, significant)
        yield from jobs.plan(
            product, shown.subject, shown.version, {shown.name: place}, priority, context, filename,
            graceid=shown.subject,
        )  # fmt: skip


def _has_map(superevent: str, filename: str, context: Context) -> bool:
    uploaded = context.mirror.product(superevent, UPLOADED_MAP)
    return uploaded is not None and str(uploaded.facts["filename"]).partition(",")[0] == filename


def next_version(content: str, known: StoredProduct | None) -> str | None:
    """Return the version of new content on an object; None if the object shows that content already.

    Versions are numbered, because the preferred event, and with it the content, may change back.
    """
    if known is None:
        return content
    before, _, generation = known.version.partition("~")
    return None if before == content else f"{content}~{int(generation or 1) + 1}"


def _annotate_superevent_of(graceid: str, context: Context) -> Iterator[Effect]:
    superevent = context.mirror.superevent_of(graceid)
    if superevent is not None and superevent.preferred == graceid:
        context.send(SupereventChanged(superevent.key))
        yield from annotate_superevent(superevent.key, context)


# ---- jobs -------------------------------------------------------------------------------------------------


@on(JobEnded, name="gwbatch.annotate.handle_job")
def handle_job(message: JobEnded, context: Context) -> Iterator[Effect]:
    """Store the product of a job, try the job again, or report its failure."""
    job = jobs.ended(message, context)
    if job is None or is_external(job.subject):
        return
    if job.state is JobState.DONE:
        yield from _take_result(job, context)
    elif jobs.failed(job):
        yield from _after_failure(job, context)


def _take_result(job: Job, context: Context) -> Iterator[Effect]:
    product, made = jobs.product_of(job), jobs.made(job)
    made_from = context.mirror.product(job.subject, product.needs[0])
    if made_from is not None and made_from.version != made.version:
        return  # the preferred event has changed meanwhile, and only products of its files count
    existing = context.mirror.product(job.subject, made.name)
    if existing is not None and existing.path is None:
        return  # the pipeline has uploaded its own meanwhile
    context.mirror.put_product(made, context.now)
    upload = jobs.upload(made)
    yield upload
    if product.label is not None:
        label = effects.label(job.subject, product.label, after=upload.key)
        yield label
        if product.scope is Scope.EVENT and context.profile.alerts.mode != "off":
            context.send(EventLabelled(job.subject, product.label, label.key))
    if product.scope is Scope.EVENT:
        yield from _plan_from(job.subject, product.name, context)
        yield from _annotate_superevent_of(job.subject, context)
        return
    yield from _pictures_of_made(made, context)
    if made_from is not None and set(product.reveals) - made_from.facts.keys():
        facts = {name: made.facts.get(name, False) for name in product.reveals}
        yield from _learn(replace(made_from, facts={**facts, **made_from.facts}), job, context)


def _plan_from(graceid: str, changed: str, context: Context) -> Iterator[Effect]:
    """Plan the products of an event that a new product allows."""
    data = context.mirror.event_data(graceid)
    if data is not None:
        yield from event_products.plan(parse_event(data), data, changed, context)


def _pictures_of_made(made: StoredProduct, context: Context) -> Iterator[Effect]:
    superevent = context.mirror.superevent(made.subject)
    if superevent is not None:
        yield from _picture(made, {"path": made.path}, superevent.preferred, context)


def _learn(known: StoredProduct, job: Job, context: Context) -> Iterator[Effect]:
    """Record what a job found out about a map that somebody else made, and plan the products that this allows."""
    context.mirror.put_product(known, context.now)
    superevent = context.mirror.superevent(job.subject)
    if superevent is not None:
        yield from _picture(known, job.request["inputs"][known.name], superevent.preferred, context)


def _after_failure(job: Job, context: Context) -> Iterator[Effect]:
    if jobs.try_again(job, context):
        return
    unused = set(jobs.product_of(job).optional) - job.request["inputs"].keys()
    again = [
        effect
        for name in sorted(unused)
        if context.mirror.product(job.subject, name)
        for effect in _plan_from(job.subject, name, context)
    ]
    yield from again or [jobs.say_failed(job, job.subject)]
