"""Operators' orders about external events: an announcement or a sky map."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from gwbatch.annotation import as_chosen, job_priority, product_named
from gwbatch.annotation.graph import EXTERNAL_MAP
from gwbatch.effects import Effect
from gwbatch.effects.kinds import Log
from gwbatch.errors import BadInput
from gwbatch.external.coincidence import RAVEN_ALERT
from gwbatch.external.event import ExternalEvent
from gwbatch.external.skymap import headers
from gwbatch.handlers.context import Context
from gwbatch.handlers.decorators import on
from gwbatch.handlers.messages import Announce, UseMap
from gwbatch.jobs.external_skymap import GIVEN
from gwbatch.orchestrator import jobs
from gwbatch.orchestrator.coincidences import announce
from gwbatch.orchestrator.commands import TAGS, because, ordered
from gwbatch.orchestrator.external_skymaps import ORDERED, SHORT


@on(Announce, name="gwbatch.external.handle_announce")
def handle_announce(order: Announce, context: Context) -> Iterator[Effect]:
    """Announce a coincidence on an operator's order, even if the policy would not."""
    event, superevent = _external(order.external, context), context.mirror.superevent(order.superevent)
    if superevent is None:
        raise BadInput(f"There is no superevent {order.superevent!r}.")
    found = context.externals.coincidences(external=event.key)
    match = next((one.match for one in found if one.chosen and one.match.superevent == superevent.key), None)
    if match is None:
        raise BadInput(f"{order.external} does not coincide with {order.superevent}.")
    if RAVEN_ALERT in superevent.labels:
        raise BadInput(f"{order.superevent} is announced with an external event already.")
    text = f"User {order.by} ordered the announcement with {event.graceid or event.key}{because(order.why)}."
    yield Log(superevent.key, text, TAGS, f"order/{order.at}")
    yield from announce(match, ordered(order.by, order.why), context)


@on(UseMap, name="gwbatch.external.handle_use_map")
def handle_use_map(order: UseMap, context: Context) -> Iterator[Effect]:
    """Use a map that an operator found for an external event; it takes precedence over others of the same notice."""
    event = _external(order.external, context)
    if event.map_notice is None:
        raise BadInput(f"Cannot give {order.external} a sky map: no notice about it has a position or a sky map.")
    _, _, notice = context.externals.notice(event.key, event.map_notice)
    product = as_chosen(product_named(EXTERNAL_MAP), context.policy.annotation)
    digest = hashlib.sha256(f"{order.url} {order.at}".encode()).hexdigest()
    version = f"{event.map_notice[:SHORT]}.{ORDERED}-{digest[:6]}"
    source = {"ordered": order.url, "external": event.key}
    text = f"User {order.by} ordered the sky map {order.url}{because(order.why)}."
    yield Log(event.key, text, TAGS, f"order/{order.at}")
    priority = job_priority(product, significant=event.is_burst)
    yield from jobs.plan(product, event.key, version, {GIVEN: source}, priority, context, **headers(notice))


def _external(name: str, context: Context) -> ExternalEvent:
    event = context.externals.get(name) or context.externals.by_graceid(name)
    if event is None:
        raise BadInput(f"There is no external event {name!r}.")
    return event
