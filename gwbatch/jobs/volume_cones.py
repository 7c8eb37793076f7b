"""Projections of a volume of any shape, as cones cut into pieces, each added to the elements that it lies in.

Each cone, a cell of the map as seen from Earth, is cut into pieces half an element deep (deeper if there would be too
many).  The probability of a piece, ``rho O r^2 dr`` (O: solid angle of the cone), goes to the elements around its
centre, on all three faces at once.  It is shared out bilinearly on a grid twice as fine, which is then added up over
2 x 2.  Cones wider than an element are split first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gwbatch.jobs.healpix import Floats, children
from gwbatch.jobs.skymap import SkyMap
from gwbatch.jobs.volume_faces import FACES, Cube, Moments

PIECES = 100  # for each element of one face, at most: 3 million for 175 x 175 elements
CHUNK = 1 << 14  # pieces at a time, so that their dozen arrays stay in the processor's cache
REACH = 4.5  # standard deviations of the distance that are drawn
COARSEST = 6  # least HEALPix order to which cells are split, or two less if there are too many pieces
_GOLDEN = 0.6180339887498949


def project(skymap: SkyMap, cells: Moments, cube: Cube) -> Floats:
    """Return the probability per Mpc^2 on the three faces, shape (3, elements, elements)."""
    import numpy as np

    order, depth = plan(skymap, cells, cube)
    cones = split(skymap, cells, order, cube.reach)
    width = 2 * cube.elements + 2  # of the grid, with an extra cell on every side
    sums = np.zeros((3, width * width))
    scale = np.float32(2 / cube.element)
    middle = np.float32((cube.reach + cube.element / 2) * scale + 0.5)
    edge = np.float32(2 * cube.elements + 0.5)
    for radius, weight, direction in _pieces(cones, cube.rotation, depth):
        place = [radius * axis * scale + middle for axis in direction]
        inside: Any = np.ones(len(radius), dtype=bool)
        for coordinate in place:
            inside &= (coordinate >= 0.5) & (coordinate < edge)
        _deposit(sums, [coordinate[inside] for coordinate in place], weight[inside], width)
    inner = sums.reshape(3, width, width)[:, 1:-1, 1:-1]
    return inner.reshape(3, cube.elements, 2, cube.elements, 2).sum(axis=(2, 4)) / cube.element**2


@dataclass(frozen=True)
class Cones:
    """Cells split to the size of picture elements, with what `_pieces` needs to know about their cells."""

    directions: Floats
    log_weight: Floats  # at the mean distance
    mean: Floats
    mu: Floats
    sigma: Floats
    near: Floats
    far: Floats


def plan(skymap: SkyMap, cells: Moments, cube: Cube) -> tuple[int, float]:
    """Return the order to which cells are split and the depth of a piece (Mpc), as fine as `PIECES` allows."""
    import numpy as np

    order, depth, bound = _finest_order(cube.elements), cube.element / 2, PIECES * cube.elements**2
    span = np.minimum(2 * REACH * cells.std, np.sqrt(3) * cube.reach)

    def count() -> float:
        return float(np.sum(np.maximum(span / depth, 1.0) * 4.0 ** np.maximum(order - skymap.order, 0)))

    # Deepen the pieces first, then widen the cones, so that the error grows least (each step at most doubles it).
    while count() > bound and depth < cube.element:
        depth *= 2
    while count() > bound and order > COARSEST - 2:
        order -= 1
    while count() > bound and depth < cube.reach:
        depth *= 2
    return order, depth


def _finest_order(elements: int) -> int:
    """Return the HEALPix order whose pixels look smaller than an element at the edge of the picture."""
    apparent = 114.6 / (elements - 1)  # deg
    order = COARSEST
    while 58.6 / 2**order > 0.7 * apparent:
        order += 1
    return order


def split(skymap: SkyMap, cells: Moments, order: int, reach: float) -> Cones:
    """Split cells that are wider than the pixels of `order`."""
    import numpy as np
    from numpy import concatenate

    from gwbatch.jobs.healpix import pixel_centres

    parents, directions, areas = [], [], []
    for own in np.unique(skymap.order):
        (chosen,) = np.nonzero(skymap.order == own)
        finer = max(order - int(own), 0)
        within, ipix = children(skymap.order[chosen], skymap.ipix[chosen], finer)
        parents.append(chosen[within])
        directions.append(pixel_centres(np.full(len(ipix), int(own) + finer), ipix))
        areas.append(np.full(len(ipix), np.pi / 3 / 4.0 ** (int(own) + finer)))
    parent, area = concatenate(parents), concatenate(areas)
    log_weight = (
        np.log(skymap.density[parent]) + np.log(skymap.norm[parent]) + np.log(area)
        - np.log(skymap.sigma[parent] * np.sqrt(2 * np.pi)) - ((cells.mean - skymap.mu) / skymap.sigma)[parent] ** 2 / 2
    )  # fmt: skip
    near = np.maximum(cells.mean - REACH * cells.std, 0.0)[parent]
    far = np.minimum(cells.mean + REACH * cells.std, np.sqrt(3) * reach)[parent]
    columns = (cells.mean[parent], skymap.mu[parent], skymap.sigma[parent], near, far)
    return Cones(concatenate(directions, axis=1), log_weight, *columns)


def _pieces(cones: Cones, rotation: Floats, depth: float) -> Iterator[tuple[Floats, Floats, list[Floats]]]:
    """Yield the pieces of cones in chunks, as distance (Mpc), probability, and direction along each axis."""
    import numpy as np

    count = np.maximum(np.ceil((cones.far - cones.near) / depth), 0).astype(np.int64)
    offset = (np.arange(len(count)) * _GOLDEN) % 1.0  # stagger the cones, as neighbours would otherwise form rings
    step = np.float32(depth)
    # Count from the mean distance, because with mu far below zero float32 cannot resolve (r - mu)^2 / 2 sigma^2.
    tilt = (cones.mean - cones.mu) / cones.sigma * np.sqrt(2)
    columns = (
        cones.near + offset * depth - cones.mean, cones.mean, cones.log_weight + np.log(depth), tilt,
        np.sqrt(0.5) / cones.sigma,
    )  # fmt: skip
    begin, mean, log_weight, tilt, scale = (column.astype(np.float32) for column in columns)
    rotated = (rotation.T @ cones.directions).astype(np.float32)
    ends = np.cumsum(count)
    first = 0
    while first < len(count):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + CHUNK, side="right")), first + 1)
        chosen = slice(first, last)
        cone: Any = np.repeat(np.arange(first, last), count[chosen])
        number = np.arange(len(cone)) - np.repeat(ends[chosen] - count[chosen] - done, count[chosen])
        away = begin[cone] + number.astype(np.float32) * step
        radius, scaled = away + mean[cone], away * scale[cone]
        weight = np.exp(log_weight[cone] - scaled * (scaled + tilt[cone])) * radius**2
        yield radius, weight, [axis[cone] for axis in rotated]
        first = last


def _deposit(grids: Floats, place: list[Floats], weight: Floats, width: int) -> None:
    """Add pieces to the four fine cells around each of them, on every face."""
    import numpy as np

    # np.add.at wants these types for index and weight; any other needs a conversion and takes five times as long.
    cell = [coordinate.astype(np.intp) for coordinate in place]
    fraction = [coordinate - whole for coordinate, whole in zip(place, cell, strict=True)]
    weight = weight.astype(np.float64)
    for grid, (across, up) in zip(grids, FACES, strict=True):
        index = cell[up] * width + cell[across]
        above = weight * fraction[up]
        below = weight - above
        for rows, share in ((0, below), (width, above)):
            right = share * fraction[across]
            np.add.at(grid, index + rows, share - right)
            np.add.at(grid, index + (rows + 1), right)
