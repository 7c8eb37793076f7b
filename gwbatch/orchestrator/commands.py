"""What people order by command: another preferred event, another try at the annotation."""

from __future__ import annotations

from collections.abc import Iterator

from gwbatch.effects import Effect
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import on
from gwbatch.handlers.messages import Annotate, Prefer
from gwbatch.ledger import jobs, views
from gwbatch.model import Decision
from gwbatch.orchestrator.superevent_products import annotate_superevent
from gwbatch.orchestrator.superevents import carry_out, record
from gwbatch.superevents import Superevent


@on(Prefer, name="gwbatch.orders.handle_prefer")
def handle_prefer(order: Prefer, context: Context) -> Iterator[Effect]:
    """Somebody chose the preferred event."""
    superevent = _superevent(order.superevent, context)
    event = context.mirror.event(order.event)
    if event is None or event.graceid not in superevent.events:
        raise BadInput(f"{order.event} is no member of {superevent.key}.")
    if event.graceid == superevent.preferred:
        return
    detail = {"preferred": event.graceid, "t_0": event.gpstime}
    decisions = [Decision("update", superevent.key, detail, f"ordered by {order.by}")]
    record(decisions, context)
    yield from carry_out(decisions, context)


@on(Annotate, name="gwbatch.orders.handle_annotate")
def handle_annotate(order: Annotate, context: Context) -> Iterator[Effect]:
    """Somebody wants the products of a superevent: what failed is tried again, what is missing is asked for."""
    superevent = _superevent(order.superevent, context)
    for key in views.failed_jobs(context.tx, [superevent.key, *superevent.events]):
        job = jobs.get(context.tx, key)
        if job is not None:
            jobs.try_again(context.tx, job, context.now)
    yield from annotate_superevent(superevent.key, context)


def _superevent(key: str, context: Context) -> Superevent:
    superevent = context.mirror.superevent(key)
    if superevent is None:
        raise BadInput(f"There is no superevent {key!r}.")
    return superevent
