"""Jobs for the sky maps of external events, and for their combination with the maps of superevents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gwbatch.annotation import Product, Scope, as_chosen, job_priority, makeable, product_named
from gwbatch.annotation.graph import COMBINED_MAP, EXTERNAL_MAP, MAP, UPLOADED_MAP
from gwbatch.effects import Effect
from gwbatch.external.coincidence import PE_READY
from gwbatch.external.event import ExternalEvent
from gwbatch.external.skymap import headers, model
from gwbatch.handlers.context import Context
from gwbatch.jobs.external_skymap import GIVEN
from gwbatch.keys import pair_key, split_pair
from gwbatch.ledger.jobs import Job, get
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import JobState
from gwbatch.orchestrator import jobs
from gwbatch.orchestrator.event_products import locate
from gwbatch.orchestrator.external_labels import relabel
from gwbatch.superevents import Superevent

ORDERED = "ordered"
# Maps of one notice, by rising rank: our model, the observatory's maps, an operator's choice.
KINDS_OF_MAP = ("", "given", "official", ORDERED)
SHORT = 12  # characters of a content hash that tell versions apart


def plan_map(key: str, context: Context) -> Iterator[Effect]:
    """Plan the sky maps that the event's map notice allows: a model at once, and the observatory's own."""
    event = context.externals.get(key)
    if event is None or event.map_notice is None or not context.profile.gracedb.url:
        return
    if EXTERNAL_MAP in context.policy.annotation.leave_out:
        return
    _, _, notice = context.externals.notice(key, event.map_notice)
    product = as_chosen(product_named(EXTERNAL_MAP), context.policy.annotation)
    version = event.map_notice[:SHORT]
    about, priority = headers(notice), job_priority(product, significant=event.is_burst)
    circle = model(notice, context.policy.external)
    if circle is not None:
        yield from jobs.plan(product, key, version, {}, priority, context, **about, **circle)
    if notice.skymap:
        source = {"url" if "://" in notice.skymap else "inline": event.map_notice, "external": key}
        yield from jobs.plan(product, key, f"{version}.given", {GIVEN: source}, priority, context, **about)
    if notice.official_map:
        source = {"official": event.map_notice, "external": key}
        yield from jobs.plan(product, key, f"{version}.official", {GIVEN: source}, priority, context, **about)


def plan_combined(external: str, superevent: Superevent, context: Context) -> Iterator[Effect]:
    """Plan the combination of the two maps, once for each version of them."""
    wanted = wanted_version(external, superevent, context) if context.profile.gracedb.url else None
    if wanted is None or COMBINED_MAP in context.policy.annotation.leave_out:
        return
    version, sources = wanted
    yield from _plan_joint(product_named(COMBINED_MAP), pair_key(external, superevent.key), version, sources, context)


def _plan_joint(
    product: Product, subject: str, version: str, sources: dict[str, Any], context: Context, **parameters: Any
) -> Iterator[Effect]:
    """Plan a product of a pair; if this version was made before and replaced since, use it again."""
    product = as_chosen(product, context.policy.annotation)
    before = get(context.tx, jobs.job_key(product, subject, version))
    if before is not None and before.state is JobState.DONE:
        shown = context.mirror.product(subject, product.name)
        if shown is None or shown.version != version:
            yield from take_result(before, context)
        return
    priority = job_priority(product, significant=True)
    yield from jobs.plan(product, subject, version, sources, priority, context, **parameters)


def wanted_version(external: str, superevent: Superevent, context: Context) -> tuple[str, dict[str, Any]] | None:
    """Return the version of the newest maps' combination, and where the maps are; None while one is missing."""
    theirs = context.mirror.product(external, EXTERNAL_MAP)
    uploaded = context.mirror.product(superevent.key, UPLOADED_MAP)
    kept = context.mirror.product(superevent.key, MAP) if PE_READY in superevent.labels else None
    if uploaded is not None:
        ours = uploaded.version
        source: dict[str, Any] = {"gracedb": [superevent.key, uploaded.facts["filename"]]}
    elif kept is not None:  # parameter estimation has started from it, so a new preferred event changes nothing
        ours = kept.version.partition("~")[0]
        source = {"path": kept.path} if kept.path is not None else {"gracedb": [superevent.key, MAP]}
    else:
        made = context.mirror.product(superevent.preferred, MAP)
        if made is None:
            return None
        ours = f"{superevent.preferred}.{made.version}"
        source = locate(superevent.preferred, MAP, made)
    event = context.externals.get(external)
    if theirs is None or theirs.path is None or event is None or not _is_map_of(theirs.version, event):
        return None
    version = hashlib.sha256(f"{ours}\n{theirs.version}".encode()).hexdigest()[:SHORT]
    return version, {"superevent.fits": source, "external.fits": {"path": theirs.path}}


def plan_pictures(external: str, superevent: str, context: Context) -> Iterator[Effect]:
    """Plan the pictures of a coincidence's combined map."""
    subject = pair_key(external, superevent)
    combined = context.mirror.product(subject, COMBINED_MAP)
    if combined is None or combined.facts.get("disjoint"):
        return
    sources, overlap = {COMBINED_MAP: {"path": combined.path}}, combined.facts["overlap_integral"]
    for product in makeable(Scope.PAIR, {COMBINED_MAP: combined.facts}, COMBINED_MAP, context.policy.annotation):
        yield from _plan_joint(product, subject, combined.version, sources, context, overlap=overlap)


def take_result(job: Job, context: Context) -> Iterator[Effect]:
    """Store the product of a job, unless a newer one exists."""
    product, version, made = product_named(job.request["product"]), job.request["version"], jobs.made(job)
    if product.name == EXTERNAL_MAP:
        yield from _take_map(made, product, context)
    elif product.scope is Scope.EXTERNAL:
        current = context.mirror.product(job.subject, EXTERNAL_MAP)
        if current is not None and current.version == version:
            context.mirror.put_product(made, context.now)
            yield jobs.upload(made)
    elif (_is_wanted if product.name == COMBINED_MAP else _is_newest)(job.subject, version, context):
        context.mirror.put_product(made, context.now)


def _take_map(made: StoredProduct, product: Product, context: Context) -> Iterator[Effect]:
    event, current = context.externals.get(made.subject), context.mirror.product(made.subject, EXTERNAL_MAP)
    if event is None or not _is_map_of(made.version, event):
        return  # of a notice that no longer counts
    if current is not None and _is_map_of(current.version, event) and _rank(current.version) > _rank(made.version):
        return  # a better map exists
    chosen = _rank(made.version) == KINDS_OF_MAP.index(ORDERED)
    has_one = event.adopted and product.label in event.labels and (current is None or "kept" in current.facts)
    if has_one and not chosen:
        # The event's author gave it a map, so ours only serves the coincidences and is not uploaded.
        context.mirror.put_product(replace(made, facts={**made.facts, "kept": True}), context.now)
        return
    context.mirror.put_product(made, context.now)
    upload = jobs.upload(made)
    yield upload
    if product.label is not None and product.label not in event.labels:
        context.externals.set_labels(event.key, [*event.labels, product.label])
        yield relabel(event.key, product.label, context, on=True, after=upload.key)
    for picture in makeable(Scope.EXTERNAL, {EXTERNAL_MAP: made.facts}, EXTERNAL_MAP, context.policy.annotation):
        priority = job_priority(picture, significant=event.is_burst)
        yield from jobs.plan(picture, event.key, made.version, {EXTERNAL_MAP: {"path": made.path}}, priority, context)


def _rank(version: str) -> int:
    """Return the rank of a map among those of one notice; an operator's choice ranks highest, our model lowest."""
    return KINDS_OF_MAP.index(version.partition(".")[2].partition("-")[0])


def _is_map_of(version: str, event: ExternalEvent) -> bool:
    """Return whether a map was made from the event's current map notice."""
    return event.map_notice is not None and version.startswith(event.map_notice[:SHORT])


def _is_newest(subject: str, version: str, context: Context) -> bool:
    combined = context.mirror.product(subject, COMBINED_MAP)
    return combined is not None and combined.version == version


def _is_wanted(subject: str, version: str, context: Context) -> bool:
    external, key = split_pair(subject)
    superevent = context.mirror.superevent(key)
    wanted = None if superevent is None else wanted_version(external, superevent, context)
    return wanted is not None and wanted[0] == version
