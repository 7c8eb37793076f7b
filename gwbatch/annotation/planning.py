"""From what exists to what can be made next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gwbatch.annotation.graph import Product, Scope, products_of
from gwbatch.config.policy import Annotation
from gwbatch.superevents.candidate import Event

SIGNIFICANT_BONUS = 100


def makeable(
    scope: Scope, have: Mapping[str, Mapping[str, Any]], changed: str, settings: Annotation
) -> Iterator[Product]:
    """Yield what can be made now that a file is there or has changed.

    Parameters
    ----------
    have : mapping of str to mapping
        The files that are there, `changed` among them, each with its facts.
    settings : Annotation
        What the policy leaves out.
    """
    for product in products_of(scope):
        if changed not in (*product.needs, *product.optional) or product.name in settings.leave_out:
            continue
        if not have.keys() >= set(product.needs):
            continue
        if product.only_if and not have[product.needs[0]].get(product.only_if):
            continue
        yield as_chosen(product, settings)


def made_for(product: Product, event: Event, settings: Annotation) -> bool:
    """Whether the policy has a product made for an event."""
    group, pipeline, search = event.group, event.pipeline, event.search
    kinds = {group, f"{group}.{search}", f"{group}.{pipeline}", f"{group}.{pipeline}.{search}"}
    wanted = settings.made_for.get(product.name)
    return wanted is None or not kinds.isdisjoint(wanted)


def as_chosen(product: Product, settings: Annotation) -> Product:
    """Return the product, made by the job that the policy chooses for it."""
    return replace(product, job=settings.made_by.get(product.name, product.job))


def job_priority(product: Product, significant: bool) -> int:
    """Sky maps ahead of plots, whosever they are; among maps and among plots significant events ahead of others."""
    return product.urgency + (SIGNIFICANT_BONUS if significant else 0)
