"""HEALPix geometry, against healpy's."""

from __future__ import annotations

import healpy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwbatch.jobs.healpix import children, pixel_area, pixel_centres, split_uniq


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_every_centre_is_where_healpy_has_it(order: int) -> None:
    ipix = np.arange(12 * 4**order)
    theirs = np.array(healpy.pix2vec(2**order, ipix, nest=True))
    np.testing.assert_allclose(pixel_centres(np.full(len(ipix), order), ipix), theirs, atol=1e-15)


@given(st.integers(0, 29), st.floats(0, 1, exclude_max=True))
def test_centres_at_any_order(order: int, share: float) -> None:
    ipix = int(share * 12 * 4**order)
    ours = pixel_centres(np.array([order]), np.array([ipix]))[:, 0]
    np.testing.assert_allclose(ours, healpy.pix2vec(2**order, ipix, nest=True), atol=2e-15)


@given(st.integers(0, 29), st.floats(0, 1, exclude_max=True))
def test_the_number_of_a_cell_gives_order_and_index(order: int, share: float) -> None:
    ipix = int(share * 12 * 4**order)
    assert [int(part[0]) for part in split_uniq(np.array([4 * 4**order + ipix]))] == [order, ipix]


def test_areas_and_children_fill_their_parents() -> None:
    assert np.sum(pixel_area(np.full(12 * 4**3, 3))) == pytest.approx(4 * np.pi)
    parents, finer = children(np.array([2, 2]), np.array([5, 7]), 2)
    assert list(parents) == [0] * 16 + [1] * 16
    assert list(finer >> 4) == [5] * 16 + [7] * 16
    assert len(set(finer)) == 32


def test_the_area_that_holds_a_probability() -> None:
    """Half of the sky holds everything, evenly: nine tenths of it hold nine tenths."""
    from gwbatch.jobs.localize import credible_area

    order = 3
    pixels = 12 * 4**order
    density = np.where(np.arange(pixels) < pixels // 2, 2.0, 0.0) / (4 * np.pi)
    found = credible_area(np.arange(pixels) + 4 * 4**order, density, 0.9)
    assert found == pytest.approx(0.9 * 0.5 * 41252.96, rel=0.01)
