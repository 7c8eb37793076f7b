"""HEALPix geometry, compared with healpy's."""

from __future__ import annotations

from itertools import product

import healpy
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gwbatch.jobs.healpix import children, pixel_area, pixel_centres, pixels_at, split_uniq


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


@given(st.integers(0, 13), st.floats(-1, 1), st.floats(-np.pi, np.pi))
@example(order=1, z=1.0, longitude=0.0)
@example(order=8, z=-1.0, longitude=2.0)
@example(order=1, z=0.75, longitude=-6e-122)
@example(order=3, z=-2 / 3, longitude=np.pi / 2)
def test_a_direction_lies_in_the_pixel_of_healpy(order: int, z: float, longitude: float) -> None:
    sine = np.sqrt(1 - z**2)
    direction = np.array([[sine * np.cos(longitude)], [sine * np.sin(longitude)], [z]])
    (found,) = pixels_at(order, *direction)
    # On an edge or a corner, any pixel that the direction touches will do, that is, any within 1e-8.
    near = (direction[:, 0] + 1e-8 * np.array(step) for step in product((-1, 0, 1), repeat=3))
    assert found in {int(healpy.vec2pix(2**order, *place, nest=True)) for place in near}


def test_single_precision_suffices_for_the_cells_of_a_picture() -> None:
    places = np.random.default_rng(5).normal(size=(3, 100_000))
    places /= np.linalg.norm(places, axis=0)
    ours = pixels_at(8, *places.astype(np.float32))
    assert np.mean(ours != healpy.vec2pix(2**8, *places, nest=True)) < 2e-4


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
    """All probability is spread evenly over half of the sky, so nine tenths of that half hold 90 %."""
    from gwbatch.jobs.localize import credible_area

    order = 3
    pixels = 12 * 4**order
    density = np.where(np.arange(pixels) < pixels // 2, 2.0, 0.0) / (4 * np.pi)
    found = credible_area(np.arange(pixels) + 4 * 4**order, density, 0.9)
    assert found == pytest.approx(0.9 * 0.5 * 41252.96, rel=0.01)
