"""Products of single events: the jobs that make them, and the files that pipelines upload themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gwbatch import effects
from gwbatch.annotation import (
    PIPELINE_UPLOADS,
    Scope,
    job_priority,
    made_for,
    makeable,
    product_named,
    uploaded_input,
    uploaded_product,
)
from gwbatch.annotation.graph import COINC, SAMPLES, TEMPLATE
from gwbatch.annotation.template import search_numbers, template_numbers
from gwbatch.effects import Effect
from gwbatch.handlers.context import Context
from gwbatch.ledger.jobs import get
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import JobState
from gwbatch.orchestrator import jobs
from gwbatch.superevents import Event
from gwbatch.superevents.ranking import is_significant


def plan_new(event: Event, data: Mapping[str, Any], context: Context) -> Iterator[Effect]:
    """Plan the products that can be made for a new event."""
    for given in _given(event, data, context):
        yield from plan(event, data, given, context)


def plan(event: Event, data: Mapping[str, Any], changed: str, context: Context) -> Iterator[Effect]:
    """Plan the products that a new file of an event allows, except those that somebody else has made.

    Parameters
    ----------
    data : mapping
        The event as an alert describes it.
    changed : str
        The name of that file.
    """
    graceid, stored = event.graceid, context.mirror.products(event.graceid)
    have = {**_given(event, data, context), **{name: known.facts for name, known in stored.items()}}
    for product in makeable(Scope.EVENT, have, changed, context.policy.annotation):
        existing = stored.get(product.name)
        made_by_others = existing is not None and existing.path is None
        if made_by_others or not made_for(product, event, context.policy.annotation):
            continue
        used = [name for name in product.optional if name in have]
        if changed in used and not _failed_without(changed, jobs.job_key(product, graceid, "0"), context):
            continue
        files = [name for name in (*product.needs, *used) if name != TEMPLATE]
        parameters: dict[str, Any] = {}
        if TEMPLATE in product.needs:
            numbers = template_numbers(event, data)
            parameters = {**search_numbers(event), **numbers}
            files += [] if numbers else [COINC]
        sources = {name: locate(graceid, name, stored.get(name)) for name in files}
        version = "+".join(name.partition(".")[0] for name in used) or _version_of(product.needs[0], stored)
        priority = job_priority(product, is_significant(event, context.policy))
        filename = product.filename.format(pipeline=event.pipeline, prefix=prefix_of(stored.get(product.needs[0])))
        yield from jobs.plan(
            product, graceid, version, sources, priority, context, filename, graceid=graceid, **parameters
        )


def catch_up(event: Event, data: Mapping[str, Any], context: Context) -> Iterator[Effect]:
    """Plan what an event's stored products allow, because jobs may have made them before the lane knew the event."""
    for name in context.mirror.products(event.graceid):
        yield from plan(event, data, name, context)


def _version_of(name: str, stored: Mapping[str, StoredProduct]) -> str:
    """Return the version of an input file; "0" for a file that came with the event."""
    return stored[name].version if name in stored else "0"


def locate(owner: str, name: str, stored: StoredProduct | None) -> dict[str, Any]:
    """Return where a job finds a file: on this machine if one of our jobs made it, else in GraceDB."""
    if stored is not None and stored.path is not None:
        return {"path": stored.path}
    return {"gracedb": [owner, name if stored is None else file_of(stored)]}


def file_of(stored: StoredProduct) -> str:
    """Return the name of a product's file in GraceDB, with its version if an alert gave one."""
    return str(stored.facts.get("file") or stored.facts.get("filename") or stored.name)


def prefix_of(stored: StoredProduct | None) -> str:
    """Return the part of a file's name in GraceDB before the first dot, in lower case."""
    return "" if stored is None else file_of(stored).partition(".")[0].lower()


def take_upload(event: Event, data: Mapping[str, Any], entry: Mapping[str, Any], context: Context) -> Iterator[Effect]:
    """Record an uploaded product that a pipeline made, or a file that products wait for, and plan what it allows.

    Parameters
    ----------
    entry : mapping
        The log message of the uploaded file, from the alert.
    """
    filename = str(entry.get("filename") or "")
    given = uploaded_input(filename)
    if given is not None:
        context.mirror.put_product(uploaded(event.graceid, given, entry), context.now)
        yield from plan(event, data, given, context)
        return
    name = uploaded_product(filename)
    known = None if name is None else context.mirror.product(event.graceid, name)
    if name is None or (known is not None and _is_our_upload(known, entry)):
        return
    made = uploaded(event.graceid, name, entry)
    if known is not None and known.path is not None:  # the known one is ours, and its version may look the same
        made = replace(made, version=f"{made.version}.pipeline")
    context.mirror.put_product(made, context.now)
    yield effects.label(event.graceid, PIPELINE_UPLOADS[name])
    yield from plan(event, data, name, context)


def uploaded(owner: str, name: str, entry: Mapping[str, Any]) -> StoredProduct:
    """Return a file that somebody else uploaded, in its stored form, from its log message."""
    filename, number = str(entry["filename"]), entry.get("file_version")
    file = {"file": f"{filename},{number}"} if isinstance(number, int) else {}
    version = str(number or 0)
    if name == SAMPLES:  # each analysis numbers its own files
        version = f"{filename.removesuffix(SAMPLES)}{version}"
    return StoredProduct(owner, name, version, None, {"filename": filename, **file})


def _given(event: Event, data: Mapping[str, Any], context: Context) -> dict[str, Mapping[str, Any]]:
    """Return the files and template numbers that come with the upload of an event."""
    coinc = event.group == "cbc" and event.pipeline not in context.policy.burst_like_pipelines
    known = coinc or bool(template_numbers(event, data))
    return {**({COINC: {}} if coinc else {}), **({TEMPLATE: {}} if known else {})}


def _failed_without(optional: str, key: str, context: Context) -> bool:
    """Return whether a job that could use an optional file failed without it, or was never planned."""
    job = get(context.tx, key)
    return job is None or (job.state is JobState.FAILED and optional not in job.request["inputs"])


def _is_our_upload(made: StoredProduct, entry: Mapping[str, Any]) -> bool:
    """Return whether a log message is that of our own upload of a product."""
    return made.path is not None and entry.get("comment") == jobs.comment(product_named(made.name), made.facts)
