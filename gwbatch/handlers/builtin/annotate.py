"""Joining the annotation graph to effects: which jobs start, and what happens with what they made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gwbatch import effects
from gwbatch.annotation import (
    COPIES,
    COPY_PRODUCTS,
    EVENT_PRODUCTS,
    PIPELINE_UPLOADS,
    Product,
    job_priority,
    product_named,
    wanted_products,
)
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
        yield from _localize(event, (COINC,), context)


def _localize(event: Event, inputs: tuple[str, ...], context: Context) -> Iterator[Effect]:
    for product in EVENT_PRODUCTS:
        if product.name in context.policy.annotation.leave_out or context.mirror.product(event.graceid, product.name):
            continue
        sources = {name: {"gracedb": [event.graceid, name]} for name in inputs}
        version = "0" if inputs == product.needs else "psd"
        yield from _plan(product, event.graceid, version, sources, is_significant(event, context.policy), context)


def _pipeline_upload(event: Event, entry: Any, context: Context) -> Iterator[Effect]:
    """A log message with a file: a product that a pipeline made itself, or the PSD that a sky map waited for."""
    filename = str(entry.get("filename") or "") if isinstance(entry, Mapping) else ""
    name = next((known for known in PIPELINE_UPLOADS if filename == known or filename.endswith(f".{known}")), None)
    if filename == PSD:
        context.mirror.put_product(mirror.Product(event.graceid, PSD, "0", None, {}), context.now)
        first = get(context.tx, f"{event.graceid}/localize")
        if first is None or first.state is JobState.FAILED:
            yield from _localize(event, (COINC, PSD), context)
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
    for name, (comment, tags) in COPIES.items():
        source = of_event.get(name)
        if source is None or (name == MAP and name in of_superevent and PE_READY in superevent.labels):
            continue
        content = f"{superevent.preferred}.{source.version}"
        version = next_version(content, of_superevent.get(name))
        if version is None:
            continue
        text = comment.format(event=superevent.preferred)
        context.mirror.put_product(mirror.Product(key, name, version, source.path, source.facts), context.now)
        if source.path is not None:
            yield effects.upload(key, name, source.path, comment=text, tags=tags, version=version, after=created)
        else:
            yield effects.copy_file(
                superevent.preferred, key, name, source_name=source.facts.get("filename", name), version=version,
                comment=text, tags=tags, after=created,
            )  # fmt: skip
        if name == MAP:
            yield from _plot(key, superevent.preferred, version, source, context)
        for product in COPY_PRODUCTS:
            if product.needs == (name,) and product.name not in settings.leave_out:
                file = {"gracedb": [superevent.preferred, source.facts.get("filename", name)]}
                inputs = {name: file if source.path is None else {"path": source.path}}
                yield from _plan(product, key, version, inputs, _is_significant(superevent.preferred, context), context)


def next_version(content: str, known: mirror.Product | None) -> str | None:
    """The version under which a superevent gets a content: numbered, for what is preferred may change back."""
    if known is None:
        return content
    before, _, generation = known.version.partition("~")
    return None if before == content else f"{content}~{int(generation or 1) + 1}"


def _plot(key: str, preferred: str, version: str, source: mirror.Product, context: Context) -> Iterator[Effect]:
    significant = _is_significant(preferred, context)
    for wanted in wanted_products(source.facts, significant, context.policy.annotation):
        yield from _plan(wanted.product, key, version, {MAP: {"path": source.path}}, significant, context)


def _is_significant(graceid: str, context: Context) -> bool:
    event = context.mirror.event(graceid)
    return event is not None and is_significant(event, context.policy)


def _annotate_superevent_of(graceid: str, context: Context) -> Iterator[Effect]:
    superevent = context.mirror.superevent_of(graceid)
    if superevent is not None and superevent.preferred == graceid:
        context.tell(SUPEREVENT_CHANGED, {"superevent": superevent.key}, "exttrig")
        yield from annotate_superevent(superevent.key, context)


# ---- jobs -------------------------------------------------------------------------------------------------


def _plan(
    product: Product, subject: str, version: str, sources: dict[str, Any], significant: bool, context: Context
) -> Iterator[Effect]:
    priority = job_priority(product, significant)
    return jobs.plan(product, subject, version, sources, priority, context, graceid=subject)


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
    if job.kind == "localize" and PSD not in job.request["inputs"] and context.mirror.product(job.subject, PSD):
        event = context.mirror.event(job.subject)
        if event is not None:
            yield from _localize(event, (COINC, PSD), context)
            return
    yield jobs.say_failed(job, job.subject)
