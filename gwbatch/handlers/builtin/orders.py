"""What people order by command: another preferred event, another try at the annotation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gwbatch.effects import Effect
from gwbatch.errors import BadInput
from gwbatch.handlers.builtin.annotate import annotate_superevent
from gwbatch.handlers.builtin.superevents import carry_out, record
from gwbatch.handlers.registry import Context
from gwbatch.ledger import jobs, views
from gwbatch.model import Decision
from gwbatch.superevents import Superevent


def handle_prefer(order: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Somebody chose the preferred event."""
    superevent = _superevent(order, context)
    event = context.mirror.event(str(order.get("event")))
    if event is None or event.graceid not in superevent.events:
        raise BadInput(f"{order.get('event')} is no member of {superevent.key}.")
    if event.graceid == superevent.preferred:
        return
    detail = {"preferred": event.graceid, "t_0": event.gpstime}
    decisions = [Decision("update", superevent.key, detail, f"ordered by {order.get('by')}")]
    record(decisions, context)
    yield from carry_out(decisions, context)


def handle_annotate(order: dict[str, Any], context: Context) -> Iterator[Effect]:
    """Somebody wants the products of a superevent: what failed is tried again, what is missing is asked for."""
    superevent = _superevent(order, context)
    for key in views.failed_jobs(context.tx, [superevent.key, *superevent.events]):
        job = jobs.get(context.tx, key)
        if job is not None:
            jobs.try_again(context.tx, job, context.now)
    yield from annotate_superevent(superevent.key, context)


def _superevent(order: dict[str, Any], context: Context) -> Superevent:
    superevent = context.mirror.superevent(str(order.get("superevent")))
    if superevent is None:
        raise BadInput(f"There is no superevent {order.get('superevent')!r}.")
    return superevent
