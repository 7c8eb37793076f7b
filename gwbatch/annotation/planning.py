"""From what exists to what is to be made next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from gwbatch.annotation.graph import SUPEREVENT_PRODUCTS, Product
from gwbatch.config.policy import Annotation

SIGNIFICANT_BONUS = 100


@dataclass(frozen=True)
class Wanted:
    """A product to make, and the priority of its job."""

    product: Product
    priority: int


def as_chosen(product: Product, settings: Annotation) -> Product:
    """A product, made by the job that the policy chooses for it."""
    return replace(product, job=settings.made_by.get(product.name, product.job))


def job_priority(product: Product, significant: bool) -> int:
    """Sky maps ahead of plots, whosever they are; among maps and among plots significant events ahead of others."""
    return product.urgency + (SIGNIFICANT_BONUS if significant else 0)


def wanted_products(facts: Mapping[str, object], significant: bool, settings: Annotation) -> Iterator[Wanted]:
    """What a superevent's sky map is turned into, given the facts of the map."""
    for product in SUPEREVENT_PRODUCTS:
        if product.name in settings.leave_out or (product.only_if and not facts.get(product.only_if)):
            continue
        yield Wanted(product, job_priority(product, significant))
