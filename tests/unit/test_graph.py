"""The graph of data products: every input and job exists, and no two jobs have the same key."""

from __future__ import annotations

import pytest

from gwbatch.annotation import COPIES, PRODUCTS, Product, Scope, makeable, products_of
from gwbatch.annotation.graph import COINC, EM_BRIGHT, FLAT_MAP, MAP, MCHIRP_SOURCE, PSD, SAMPLES, TEMPLATE
from gwbatch.config.policy import load_policy
from gwbatch.jobs.catalogue import computations
from gwbatch.orchestrator.jobs import job_key

GIVEN = {COINC, PSD, TEMPLATE, FLAT_MAP, SAMPLES}  # what pipelines upload
SETTINGS = load_policy().annotation


@pytest.mark.parametrize("scope", Scope)
def test_no_two_products_of_a_subject_share_a_job_key(scope: Scope) -> None:
    keys = [job_key(product, "S1", "0") for product in products_of(scope)]
    assert len(keys) == len(set(keys))


def test_a_slug_tells_products_of_one_job_apart() -> None:
    first = Product("a.png", Scope.EVENT, "plot-allsky", (MAP,), "")
    second = Product("b.png", Scope.EVENT, "plot-allsky", (MAP,), "", slug="plot-b")
    assert [job_key(product, "G1", "7") for product in (first, second)] == ["G1/plot-allsky/7", "G1/plot-b/7"]


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_every_need_is_made_or_given_and_every_job_exists(product: Product) -> None:
    made = {known.name for known in PRODUCTS} | GIVEN | {copied.name for copied in COPIES}
    assert {*product.needs, *product.optional} <= made
    assert product.job in computations()
    for recipe in product.otherwise:
        assert set(recipe.needs) <= made
        assert (recipe.job or product.job) in computations()


def test_a_product_is_made_in_another_way_only_where_the_first_one_is_missing() -> None:
    def ways(have: set[str], changed: str) -> dict[str, tuple[str, tuple[str, ...]]]:
        found = makeable(Scope.EVENT, {name: {} for name in have}, changed, SETTINGS)
        return {product.name: (product.job, product.needs) for product in found}

    assert ways({FLAT_MAP}, FLAT_MAP)[MAP] == ("multi-order", (FLAT_MAP,))
    assert MAP not in ways({FLAT_MAP, COINC}, FLAT_MAP)
    from_samples = ways({SAMPLES, MAP}, SAMPLES)
    assert from_samples[EM_BRIGHT] == ("em-bright", (SAMPLES,))
    assert from_samples[MCHIRP_SOURCE] == ("mchirp-source", (SAMPLES,))
    assert EM_BRIGHT not in ways({SAMPLES, TEMPLATE}, SAMPLES)
    assert ways({SAMPLES, TEMPLATE, MAP}, MAP)[MCHIRP_SOURCE] == ("mchirp-source", (MAP, TEMPLATE))


def test_a_product_is_makeable_once_all_it_needs_is_there() -> None:
    def names(scope: Scope, have: set[str], changed: str, **facts: bool) -> list[str]:
        return [product.name for product in makeable(scope, dict.fromkeys(have, facts), changed, SETTINGS)]

    assert MAP in names(Scope.EVENT, {COINC}, COINC)
    assert MAP in names(Scope.EVENT, {COINC, PSD}, PSD)
    assert names(Scope.EVENT, {PSD}, PSD) == [], "a PSD alone makes no map"
    assert "bayestar.volume.png" not in names(Scope.SUPEREVENT, {MAP}, MAP, has_distances=False)
    assert "bayestar.volume.png" in names(Scope.SUPEREVENT, {MAP}, MAP, has_distances=True)
