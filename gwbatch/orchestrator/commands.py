"""Operators' commands: choose the preferred event, copy a sky map, annotate a superevent again."""

from __future__ import annotations

from collections.abc import Iterator

from gwbatch.effects import Effect, copy_file
from gwbatch.effects.kinds import Log
from gwbatch.effects.notices import PreferPipelineEvent
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import on
from gwbatch.handlers.messages import Annotate, CopyMap, Prefer, PreferForPipeline
from gwbatch.keys import creation_of
from gwbatch.ledger import jobs
from gwbatch.model import Action, Decision
from gwbatch.orchestrator.superevent_products import annotate_superevent
from gwbatch.orchestrator.superevents import carry_out, record
from gwbatch.superevents import Superevent

TAGS = ("em_follow",)


@on(Prefer, name="gwbatch.orders.handle_prefer")
def handle_prefer(order: Prefer, context: Context) -> Iterator[Effect]:
    """Make an operator's choice the preferred event."""
    superevent = _superevent(order.superevent, context)
    event = context.mirror.event(order.event)
    if event is None or event.graceid not in superevent.events:
        raise BadInput(f"{order.event} is no member of {superevent.key}.")
    if event.graceid == superevent.preferred:
        return
    detail = {"preferred": event.graceid, "t_0": event.gpstime}
    decisions = [Decision(Action.UPDATE, superevent.key, detail, ordered(order.by, order.why))]
    record(decisions, context)
    yield from carry_out(decisions, context)


@on(PreferForPipeline, name="gwbatch.orders.handle_prefer_for_pipeline")
def handle_prefer_for_pipeline(order: PreferForPipeline, context: Context) -> Iterator[Effect]:
    """Set the event that an operator chose for a pipeline; this causes no notice."""
    superevent = _superevent(order.superevent, context)
    event = context.mirror.event(order.event)
    if event is None or event.graceid not in superevent.events:
        raise BadInput(f"{order.event} is no member of {superevent.key}.")
    detail = {"event": event.graceid, "pipeline": event.pipeline}
    context.record(Decision(Action.PIPELINE_PREFERRED, superevent.key, detail, ordered(order.by, order.why)))
    text = f"User {order.by} chose {event.graceid} as the event of {event.pipeline}{because(order.why)}."
    yield Log(superevent.key, text, TAGS, f"order/{order.at}")
    yield PreferPipelineEvent(superevent.key, event.graceid, f"order/{order.at}")


@on(CopyMap, name="gwbatch.orders.handle_copy_map")
def handle_copy_map(order: CopyMap, context: Context) -> Iterator[Effect]:
    """Copy a map to another event or superevent on an operator's order; it counts once GraceDB's alert arrives."""
    name = order.file.partition(",")[0]
    if not name.endswith((".fits", ".fits.gz")):
        raise BadInput(f"Cannot copy {name} as a sky map: it is not a FITS file.")
    comment = f"Sky map copied from {order.source}, as user {order.by} ordered{because(order.why)}"
    yield copy_file(
        order.source, order.target, name, source_name=order.file, version=f"order/{order.at}", comment=comment,
        tags=("sky_loc", "public"), after=creation_of(order.target),
    )  # fmt: skip


@on(Annotate, name="gwbatch.orders.handle_annotate")
def handle_annotate(order: Annotate, context: Context) -> Iterator[Effect]:
    """Retry failed products of a superevent and request missing ones on an operator's order."""
    superevent = _superevent(order.superevent, context)
    for key in jobs.failed(context.tx, [superevent.key, *superevent.events]):
        job = jobs.get(context.tx, key)
        if job is not None:
            jobs.try_again(context.tx, job, context.now)
    yield from annotate_superevent(superevent.key, context)


def ordered(by: str, why: str) -> str:
    """Return the reason for a decision that an operator ordered."""
    return f"ordered by {by}{because(why)}"


def because(why: str) -> str:
    """Return a reason in parentheses, to end a sentence with."""
    return f" ({why})" if why else ""


def _superevent(key: str, context: Context) -> Superevent:
    superevent = context.mirror.superevent(key)
    if superevent is None:
        raise BadInput(f"There is no superevent {key!r}.")
    return superevent
