"""The probability per volume of a sky map with distances, projected onto the three faces of a cube.

Every cell of the map is a cone from Earth, in which the density per volume is (Singer et al. 2016, ApJL 829, L15;
arXiv:1603.07333)::

    rho(r) = p N / (s sqrt(2 pi)) exp(-(r - m)^2 / 2 s^2)        p: probability per sr; m, s, N: DISTMU, -SIGMA, -NORM

A picture needs the integral of rho along each of the three principal axes.  Instead of following a line of sight for
each picture element, most of which see nothing, each cone is cut into pieces as deep as half an element, and the
probability of each piece, ``rho O r^2 dr`` (O: solid angle of the cone), is added to the elements that it lies in, on
all three faces at once (bilinearly, on a grid twice as fine, then averaged over 2 x 2).  Cones wider than an element
are split first.

The picture is the mean over each element, not the value at its centre: nothing is aliased.  Against line integrals on a
five times finer grid the error is below 6 % of a face's maximum (a feature of one element gets 5 % wider) and 0.2 %
rms.  Cost and error are bounded for any map: at most `SAMPLES` pieces an element of a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.healpix import Floats, children
from gwbatch.jobs.skymap import SkyMap

FACES = ((1, 0), (0, 2), (1, 2))
"""Horizontal and vertical principal axis of each face."""

SAMPLES = 135  # pieces for each element of one face: 4 million of them for 175 x 175 elements
CHUNK = 1 << 14  # pieces at a time: their dozen arrays stay in the processor's cache
FAINTEST = 1e-5  # probability that is left out, in the faintest cells
REACH = 4.5  # standard deviations of the distance that are drawn
COARSEST = 6  # HEALPix order to which cells are split at least
NODES, WIDTH = 40, 9.0  # of the quadrature: nodes, and its reach in standard deviations
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of the distance in Mpc, for each cell or for the whole sky."""

    mean: Floats
    std: Floats


def usable(skymap: SkyMap) -> SkyMap:
    """Return the cells that have a distance.

    Raises
    ------
    BadInput
        When there is none.
    """
    import numpy as np

    columns = np.stack([skymap.density, skymap.mu, skymap.sigma, skymap.norm])
    good = np.isfinite(columns).all(axis=0) & (skymap.sigma > 0)
    if not np.any(good & (skymap.density > 0) & (skymap.norm > 0)):
        raise BadInput("Cannot draw the volume: no cell of the map has a finite distance.")
    return skymap[good]


def cell_moments(skymap: SkyMap) -> Moments:
    """Return the moments of the distance in each cell, by Gauss-Legendre quadrature of ``exp(-(r - m)^2 / 2 s^2) r^2``.

    The closed form (Singer et al. 2016, Supplement; arXiv:1605.04242) cancels out where ``m / s`` is far below zero, as
    it is where the prior dominates; the quadrature is good to 1e-12 for any cell.
    """
    import numpy as np

    node, weight = np.polynomial.legendre.leggauss(NODES)
    m, s = skymap.mu / skymap.sigma, skymap.sigma
    # Where the integrand falls below 1e-16 of its maximum, on either side of it, in units of s.
    peak = (m + np.sqrt(m**2 + 8)) / 2
    low = np.maximum(peak - WIDTH, 0.0)
    high = np.where(m > 0, peak + WIDTH, m + np.sqrt(m**2 + WIDTH**2))
    half = (high - low) / 2
    radius = low[:, None] + half[:, None] * (node + 1)
    exponent = -((radius - m[:, None]) ** 2) / 2
    density = weight * radius**2 * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    total = density.sum(axis=1)
    mean = (density * radius).sum(axis=1) / total
    spread = (density * (radius - mean[:, None]) ** 2).sum(axis=1) / total
    return Moments(s * mean, s * np.sqrt(spread))


def sky_moments(skymap: SkyMap, cells: Moments) -> tuple[float, float]:
    """Return mean and standard deviation of the distance over the whole sky, in Mpc."""
    import numpy as np

    probability = skymap.density * skymap.area
    mean = float(np.sum(probability * cells.mean))
    square = float(np.sum(probability * (cells.mean**2 + cells.std**2)))
    return mean, float(np.sqrt(max(square - mean**2, 0.0)))


def principal_axes(skymap: SkyMap, cells: Moments) -> Floats:
    """Return the principal axes of the volume as the columns of a rotation, shape (3, 3), shortest first."""
    import numpy as np

    mass = skymap.density * skymap.area * (cells.mean**2 + cells.std**2)
    directions = skymap.directions
    _, axes = np.linalg.eigh((directions * mass) @ directions.T)
    return axes if np.linalg.det(axes) > 0 else -axes


def render(
    skymap: SkyMap, cells: Moments, rotation: Floats, reach: float, elements: int, samples: int = SAMPLES
) -> Floats:
    """Return the projections of the volume onto the three faces of a cube.

    Parameters
    ----------
    skymap : SkyMap
        Only usable cells.
    cells : Moments
        Of the same cells.
    rotation : ndarray, shape (3, 3)
        From `principal_axes`.
    reach : float
        Half the side of the cube in Mpc.
    elements : int
        Picture elements a side.  The first and last are centred on the cube's edges, at -reach and +reach.
    samples : int
        Bound on the number of pieces, for each element of one face.

    Returns
    -------
    ndarray, shape (3, elements, elements)
        Probability per Mpc^2 of each face of `FACES`, row by row from below.  Its sum times the area of an element is
        the probability inside the cube, 0.98 to 1.
    """
    import numpy as np

    element = 2 * reach / (elements - 1)
    brightest = _without_the_faintest(skymap)
    skymap, cells = skymap[brightest], Moments(cells.mean[brightest], cells.std[brightest])
    cones, depth = _plan(skymap, cells, reach, element, elements, samples * elements**2)
    width = 2 * elements + 2  # with one fine cell of border
    grids = np.zeros((3, width * width))
    scale, middle = np.float32(2 / element), np.float32(elements + 0.5)
    for radius, weight, direction in _pieces(cones, rotation, depth):
        place = [radius * axis * scale + middle for axis in direction]
        inside: Any = np.ones(len(radius), dtype=bool)
        for coordinate in place:
            inside &= (coordinate >= 0.5) & (coordinate < width - 1.5)
        _deposit(grids, [coordinate[inside] for coordinate in place], weight[inside], width)
    fine = grids.reshape(3, width, width)[:, 1:-1, 1:-1]
    return fine.reshape(3, elements, 2, elements, 2).sum(axis=(2, 4)) / element**2


@dataclass(frozen=True)
class _Cones:
    """Cells split to the size of picture elements: their directions, and what `_pieces` needs of their cells."""

    directions: Floats
    log_weight: Floats
    mu: Floats
    sigma: Floats
    near: Floats
    far: Floats


def _without_the_faintest(skymap: SkyMap) -> Floats:
    import numpy as np

    probability = np.where((skymap.density > 0) & (skymap.norm > 0), skymap.density * skymap.area, 0.0)
    order = np.argsort(probability)
    faint = order[np.cumsum(probability[order]) <= FAINTEST * probability.sum()]
    bright = probability > 0
    bright[faint] = False
    return bright


def _plan(
    skymap: SkyMap, cells: Moments, reach: float, element: float, elements: int, budget: int
) -> tuple[_Cones, float]:
    """Choose how finely cells are split and how deep pieces are: as the picture needs it, within the budget."""
    import numpy as np

    order, depth = _finest_order(elements), element / 2
    span = np.minimum(2 * REACH * cells.std, np.sqrt(3) * reach)

    def count() -> float:
        pieces = np.maximum(span / depth, 1.0)
        return float(np.sum(pieces * 4.0 ** np.maximum(order - skymap.order, 0)))

    # Deeper pieces first, then wider cones: so the error grows least (each step at most doubles it).
    while count() > budget and depth < element:
        depth *= 2
    while count() > budget and order > COARSEST - 2:
        order -= 1
    while count() > budget and depth < reach:
        depth *= 2
    return _split(skymap, cells, order, reach), depth


def _finest_order(elements: int) -> int:
    """Return the HEALPix order whose pixels seem smaller than an element at the edge of the picture."""
    apparent = 114.6 / (elements - 1)  # deg
    order = COARSEST
    while 58.6 / 2**order > 0.7 * apparent:
        order += 1
    return order


def _split(skymap: SkyMap, cells: Moments, order: int, reach: float) -> _Cones:
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
        - np.log(skymap.sigma[parent] * np.sqrt(2 * np.pi))
    )  # fmt: skip
    near = np.maximum(cells.mean - REACH * cells.std, 0.0)[parent]
    far = np.minimum(cells.mean + REACH * cells.std, np.sqrt(3) * reach)[parent]
    columns = (skymap.mu[parent], skymap.sigma[parent], near, far)
    return _Cones(concatenate(directions, axis=1), log_weight, *columns)


def _pieces(cones: _Cones, rotation: Floats, depth: float) -> Iterator[tuple[Floats, Floats, list[Floats]]]:
    """Cut cones into pieces, a chunk at a time: distance (Mpc), probability, and direction along each axis."""
    import numpy as np

    count = np.maximum(np.ceil((cones.far - cones.near) / depth), 0).astype(np.int64)
    offset = (np.arange(len(count)) * _GOLDEN) % 1.0  # each cone begins elsewhere, or its neighbours draw rings
    step = np.float32(depth)
    columns = (cones.near + offset * depth, cones.log_weight + np.log(depth), cones.mu, np.sqrt(0.5) / cones.sigma)
    begin, log_weight, mu, scale = (column.astype(np.float32) for column in columns)
    rotated = (rotation.T @ cones.directions).astype(np.float32)
    ends = np.cumsum(count)
    first = 0
    while first < len(count):
        done = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, done + CHUNK, side="right")), first + 1)
        chosen = slice(first, last)
        cone: Any = np.repeat(np.arange(first, last), count[chosen])
        number = np.arange(len(cone)) - np.repeat(ends[chosen] - count[chosen] - done, count[chosen])
        radius = begin[cone] + number.astype(np.float32) * step
        weight = np.exp(log_weight[cone] - ((radius - mu[cone]) * scale[cone]) ** 2) * radius**2
        yield radius, weight, [axis[cone] for axis in rotated]
        first = last


def _deposit(grids: Floats, place: list[Floats], weight: Floats, width: int) -> None:
    """Add pieces to the four fine cells around each of them, on every face."""
    import numpy as np

    # Index and weight as np.add.at wants them: any other type costs a conversion and five times the time.
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


def credible_area(skymap: SkyMap, level: float = 0.9) -> float:
    """Return the area in deg^2 that holds the probability `level`, taking the densest cells first."""
    import numpy as np

    order = np.argsort(-skymap.density)
    probability = np.cumsum(skymap.density[order] * skymap.area[order])
    inside = np.searchsorted(probability, level * probability[-1]) + 1
    return float(np.sum(skymap.area[order][:inside]) * (180 / np.pi) ** 2)


def credible_volume(skymap: SkyMap, cells: Moments, level: float = 0.9, nodes: int = 60) -> float:
    """Return the volume in Mpc^3 that holds the probability `level`, taking the densest places first."""
    import numpy as np

    bright = _without_the_faintest(skymap)
    skymap, cells = skymap[bright], Moments(cells.mean[bright], cells.std[bright])
    near = np.maximum(cells.mean - REACH * cells.std, 0.0)
    depth = (cells.mean + REACH * cells.std - near) / nodes
    radius = near[:, None] + (np.arange(nodes) + 0.5) * depth[:, None]
    log_density = np.log(skymap.density) + np.log(skymap.norm) - np.log(skymap.sigma * np.sqrt(2 * np.pi))
    exponent = (radius - skymap.mu[:, None]) ** 2 / (2 * skymap.sigma[:, None] ** 2)
    density = np.exp(log_density[:, None] - exponent).ravel()
    volume = (skymap.area[:, None] * radius**2 * depth[:, None]).ravel()
    order = np.argsort(-density)
    probability = np.cumsum(density[order] * volume[order])
    inside = np.searchsorted(probability, level * probability[-1]) + 1
    return float(np.sum(volume[order][:inside]))


def distance_density(skymap: SkyMap, radius: Floats) -> Floats:
    """Return the probability per Mpc at distances in Mpc, integrated over the sky."""
    return conditional_density(skymap, radius, skymap.density * skymap.area)


def conditional_density(skymap: SkyMap, radius: Floats, probability: Floats) -> Floats:
    """Return the sum of the cells' distance posteriors (per Mpc), each weighted with a probability."""
    import numpy as np

    with np.errstate(divide="ignore"):
        log_weight = np.log(probability) + np.log(skymap.norm) - np.log(skymap.sigma * np.sqrt(2 * np.pi))
    return np.array([r**2 * np.sum(np.exp(log_weight - (r - skymap.mu) ** 2 / (2 * skymap.sigma**2))) for r in radius])
