"""Planning of the data products that can be made next, given what exists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gwbatch.annotation.graph import EM_BRIGHT, PRODUCTS, Product, Scope, product_named, products_of
from gwbatch.config.policy import Annotation, Policy
from gwbatch.errors import ConfigError
from gwbatch.superevents.candidate import Event

SIGNIFICANT_BONUS = 100
PRODUCTION = "cbc.allsky"  # the kind of event that every CBC pipeline uploads


def makeable(
    scope: Scope, have: Mapping[str, Mapping[str, Any]], changed: str, settings: Annotation
) -> Iterator[Product]:
    """Yield the products that can be made now that a file has appeared or changed.

    Parameters
    ----------
    have : mapping of str to mapping
        The files that exist, including `changed`, each with its facts.
    settings : Annotation
        The policy's choice of products and jobs.
    """
    for declared in products_of(scope):
        product = as_chosen(declared, settings).made_from(have)
        if product is None or product.name in settings.leave_out:
            continue
        if changed not in (*product.needs, *product.optional):
            continue
        if product.only_if and not have[product.needs[0]].get(product.only_if):
            continue
        yield product


def made_for(product: Product, event: Event, settings: Annotation) -> bool:
    """Return whether the policy wants a product for an event."""
    group, pipeline, search = event.group, event.pipeline, event.search
    kinds = {group, f"{group}.{search}", f"{group}.{pipeline}", f"{group}.{pipeline}.{search}"}
    wanted = settings.made_for.get(product.name)
    return wanted is None or product.converts or not kinds.isdisjoint(wanted)


def is_for_pipelines(product: Product, settings: Annotation) -> bool:
    """Return whether the policy wants a product only for events of certain pipelines."""
    wanted = settings.made_for.get(product.name)
    return bool(wanted) and all(kind.count(".") == 2 for kind in wanted or ())


CLASSIFIER = "em-bright-classifier"  # the job that needs an environment of its own


def not_made(policy: Policy, has_classifiers: bool = True) -> dict[str, str]:
    """Return the products that production CBC events need to be complete, but that the policy has nobody make.

    Each comes with a sentence for operators. Products that pipelines upload themselves are not included.

    Parameters
    ----------
    has_classifiers : bool
        Whether the site has ligo.em_bright, which the policy may ask for.
    """
    settings, product = policy.annotation, product_named(EM_BRIGHT)
    kinds = settings.made_for.get(EM_BRIGHT)
    made = EM_BRIGHT not in settings.leave_out and (kinds is None or not {"cbc", PRODUCTION}.isdisjoint(kinds))
    if product.label not in policy.complete.get(PRODUCTION, ()):
        return {}
    if made and settings.made_by.get(EM_BRIGHT) == CLASSIFIER and not has_classifiers:
        return {
            EM_BRIGHT: f"no CBC event can complete: the policy has {EM_BRIGHT} made by ligo.em_bright, and the site "
            "profile names no scheduler.em_bright. Make one with: gwbatch site prepare em-bright FOLDER"
        }
    if made:
        return {}
    return {
        EM_BRIGHT: f"no CBC event can complete: nobody makes {EM_BRIGHT}. Have gwbatch make it with "
        "[annotation.made_for] in the policy (docs/products.md)"
    }


def check_names(settings: Annotation) -> None:
    """Raise `ConfigError` if ``annotation.made_for`` or ``annotation.made_by`` names an unknown product."""
    known = {product.name for product in PRODUCTS}
    unknown = sorted({*settings.made_for, *settings.made_by} - known)
    if unknown:
        raise ConfigError(
            f"Cannot use the policy: [annotation] names the unknown product {unknown[0]!r}. "
            f"Known: {', '.join(sorted(known))}."
        )


def as_chosen(product: Product, settings: Annotation) -> Product:
    """Return the product with the job that the policy chooses for it."""
    return replace(product, job=settings.made_by.get(product.name, product.job))


def job_priority(product: Product, significant: bool) -> int:
    """Rank sky maps ahead of plots and, within each of these, significant events ahead of others."""
    return product.urgency + (SIGNIFICANT_BONUS if significant else 0)
