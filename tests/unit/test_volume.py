"""The volume rendering, compared with ligo.skymap's line integrals on a finer grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gwbatch.errors import BadInput
from gwbatch.jobs import volume, volume_cones, volume_lattice
from gwbatch.jobs.healpix import pixel_area, pixel_centres
from gwbatch.jobs.skymap import SkyMap, describe_sky, read_distances
from gwbatch.jobs.volume_faces import Cube
from tests.skymaps import HARD, SIMULATED, adaptive, broad, needle, shell, simulated, write_hard, write_map

ELEMENTS = 175
CHOSEN = 150  # elements of each face that are compared


def _read(name: str, folder: Path) -> SkyMap:
    path = simulated(name) if name in SIMULATED else write_hard(name, folder / "map.fits")
    return read_distances(path)


def _line_integrals(
    skymap: SkyMap, rotation: Any, reach: float, face: tuple[int, int], rows: Any, columns: Any, finer: int
) -> Any:
    """Return ligo.skymap's line integrals, averaged over `finer` by `finer` points in each picture element."""
    from ligo.skymap.core import volume_render

    element = 2 * reach / (ELEMENTS - 1)
    within = ((np.arange(finer) + 0.5) / finer - 0.5) * element
    shape = (len(rows), finer, finer)
    across = np.broadcast_to((columns * element - reach)[:, None, None] + within, shape).ravel()
    up = np.broadcast_to((rows * element - reach)[:, None, None] + within[:, None], shape).ravel()
    nested = skymap.ipix << (2 * (29 - skymap.order))
    order = np.argsort(nested)
    cells = [column[order].copy() for column in (nested, skymap.density, skymap.mu, skymap.sigma, skymap.norm)]
    values = volume_render(across, up, reach, *face, np.ascontiguousarray(rotation), 256, *cells)
    return values.reshape(shape).mean(axis=(1, 2))


@pytest.mark.parametrize("name", [*SIMULATED, *HARD])
def test_it_is_the_mean_of_line_integrals(name: str, tmp_path: Path) -> None:
    whole = _read(name, tmp_path)
    skymap = volume.usable(whole)
    cells = volume.cell_moments(skymap)
    mean, std = volume.sky_moments(skymap, cells)
    rotation, reach = volume.principal_axes(skymap, cells), mean + 2.5 * std
    faces = volume.render(skymap, cells, rotation, reach, ELEMENTS)
    element = 2 * reach / (ELEMENTS - 1)
    assert np.all((faces.sum(axis=(1, 2)) * element**2 > 0.95) & (faces.sum(axis=(1, 2)) * element**2 < 1.0005))
    for face, plane in zip(faces, volume.FACES, strict=True):
        bright = np.argwhere(face > 0.01 * face.max())
        some = np.random.default_rng(19).permutation(bright)[:CHOSEN]
        rows, columns = np.vstack([some, np.argwhere(face == face.max())[:1]]).T
        truth = _line_integrals(whole, rotation, reach, plane, rows, columns, 21 if len(bright) < 20 else 5)
        error = (face[rows, columns] - truth) / truth.max()
        print(f"{name} {plane} {len(bright)}: maximum {np.abs(error).max():.4f}, mean {np.mean(error):+.4f}")
        assert np.abs(error).max() < 0.06
        assert np.abs(np.mean(error)) < 0.02


@pytest.mark.parametrize("name", SIMULATED)
def test_moments_and_axes_are_those_of_the_field(name: str) -> None:
    from ligo.skymap.distance import parameters_to_marginal_moments, parameters_to_moments

    skymap = volume.usable(_read(name, Path()))
    cells = volume.cell_moments(skymap)
    well = (skymap.mu / skymap.sigma > -3) & (skymap.mu / skymap.sigma < 1e3)
    mean, std, _ = parameters_to_moments(skymap.mu[well], skymap.sigma[well])
    np.testing.assert_allclose(cells.mean[well], mean, rtol=1e-9)
    np.testing.assert_allclose(cells.std[well], std, rtol=1e-6)
    probability = skymap.density * skymap.area
    theirs = parameters_to_marginal_moments(probability, skymap.mu, skymap.sigma)
    np.testing.assert_allclose(volume.sky_moments(skymap, cells), theirs, rtol=1e-6)
    axes = volume.principal_axes(skymap, cells)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


@pytest.mark.parametrize("ratio", [-1e4, -300.0, -30.0, -3.0, 0.0, 3.0, 30.0, 1e6])
def test_moments_of_any_cell(ratio: float) -> None:
    """The moments agree with a brute-force numerical integration in units of the scale."""
    sigma = 7.0
    one = np.array([1.0])
    skymap = SkyMap(np.array([0]), np.array([0]), one, one * ratio * sigma, one * sigma, one, {})
    peak = (ratio + np.sqrt(ratio**2 + 8)) / 2
    width = 1 / np.sqrt(1 + 2 / peak**2)
    radius = np.linspace(max(peak - 14 * width, 0), peak + 40 * width, 2_000_001)
    exponent = -((radius - ratio) ** 2) / 2 + 2 * np.log(np.maximum(radius, 1e-300))
    weight = np.exp(exponent - exponent.max())
    mean = np.sum(weight * radius) / np.sum(weight)
    std = np.sqrt(np.sum(weight * (radius - mean) ** 2) / np.sum(weight))
    cells = volume.cell_moments(skymap)
    assert cells.mean[0] == pytest.approx(sigma * mean, rel=1e-7)
    assert cells.std[0] == pytest.approx(sigma * std, rel=1e-5)


def test_the_distance_is_a_density() -> None:
    skymap = volume.usable(_read("bns_hlv", Path()))
    radius = np.linspace(0, 400, 2001)
    density = volume.distance_density(skymap, radius)
    assert np.sum(density) * (radius[1] - radius[0]) == pytest.approx(1, abs=2e-3)


def test_area_and_volume_of_a_shell(tmp_path: Path) -> None:
    """With all directions alike, they are 90 % of the sky, and a shell as thick as 90 % of a Gaussian."""
    path = write_map(tmp_path / "map.fits", *adaptive(shell, 4, 1.0), 100.0, 1.0)
    skymap = volume.usable(read_distances(path))
    from gwbatch.jobs.skymap import credible_area

    assert credible_area(skymap.density, skymap.area) == pytest.approx(0.9 * 41253, rel=1e-3)
    expected = 4 * np.pi * 100**2 * 2 * 1.645
    assert volume.credible_volume(skymap, volume.cell_moments(skymap)) == pytest.approx(expected, rel=0.02)


def test_where_a_map_points_is_said_in_words(tmp_path: Path) -> None:
    text = describe_sky(write_hard("needle", tmp_path / "map.fits"))
    assert text is not None
    assert "deg²" in text
    assert "RA 300.9°, Dec +54.2°" in text


@pytest.mark.parametrize("broken", ["no distances", "nothing finite", "negative scale"])
def test_a_map_without_distances_is_refused_with_a_sentence(tmp_path: Path, broken: str) -> None:
    from astropy.table import Table

    path = tmp_path / "map.fits"
    if broken == "no distances":
        Table({"UNIQ": np.arange(48, 96), "PROBDENSITY": np.full(48, 1 / (4 * np.pi))}).write(path)
    else:
        mu, sigma = (np.inf, 1.0) if broken == "nothing finite" else (10.0, -1.0)
        write_map(path, *adaptive(needle, 4, 0.2), mu, sigma, norm=1.0)
    with pytest.raises(BadInput, match="Cannot draw the volume"):
        volume.usable(read_distances(path))


def test_bad_cells_leave_the_good_ones_as_they_are(tmp_path: Path) -> None:
    order, ipix, density = adaptive(needle, 8, 0.25)
    probable = density > 1e-3 * density.max()
    bad = np.where(probable, 10.0, np.nan)
    good = volume.usable(read_distances(write_map(tmp_path / "a.fits", order, ipix, density, bad, 0.3, norm=0.01)))
    assert len(good.order) == probable.sum()
    faces = volume.render(good, volume.cell_moments(good), np.eye(3), 12.0, 41)
    assert np.all(np.isfinite(faces))


def test_the_cost_is_bounded_for_any_map() -> None:
    """The map has nearly a million cells over the full sky, each as deep as the picture."""
    order = np.full(12 * 4**8, 8)
    ipix = np.arange(len(order))
    one = np.ones(len(order))
    skymap = SkyMap(order, ipix, one / (4 * np.pi), one * 100, one * 80, one * 5e-5, {})
    cells = volume.cell_moments(skymap)
    cube = Cube(np.eye(3), 300.0, 175)
    assert not volume_lattice.wide(skymap, cells, cube).any()
    order, depth = volume_cones.plan(skymap, cells, cube)
    cones = volume_cones.split(skymap, cells, order, cube.reach)
    assert 0 < np.sum(np.ceil((cones.far - cones.near) / depth)) < 2 * volume_cones.PIECES * 175**2


def test_what_is_wide_and_what_is_not_are_drawn_together(tmp_path: Path) -> None:
    """Nearly all probability is in a broad lobe, and the rest in a bright spot."""
    order, ipix, _ = adaptive(needle, 9, 0.3)
    directions = pixel_centres(order, ipix)
    density = broad(directions) / np.sum(broad(directions) * pixel_area(order))
    density += 0.03 * needle(directions) / np.sum(needle(directions) * pixel_area(order))
    skymap = read_distances(write_map(tmp_path / "map.fits", order, ipix, density / 1.03, 300.0, 30.0))
    cells = volume.cell_moments(skymap)
    mean, std = volume.sky_moments(skymap, cells)
    rotation, reach = volume.principal_axes(skymap, cells), mean + 2.5 * std
    wide = volume_lattice.wide(skymap, cells, Cube(rotation, reach, ELEMENTS))
    share = np.sum((skymap.density * skymap.area)[wide])
    assert 0.9 < share < 0.99
    faces = volume.render(skymap, cells, rotation, reach, ELEMENTS)
    for face, plane in zip(faces, volume.FACES, strict=True):
        rows, columns = np.unravel_index(np.argsort(face.ravel())[-40:], face.shape)
        truth = _line_integrals(skymap, rotation, reach, plane, rows, columns, 21)
        assert np.abs(face[rows, columns] - truth).max() < 0.06 * truth.max()
