"""The probability per volume of a sky map with distances, projected onto the three faces of a cube.

Every cell of the map is a cone from Earth, in which the density per volume is (Singer et al. 2016, ApJL 829, L15;
arXiv:1603.07333)::

    rho(r) = p N / (s sqrt(2 pi)) exp(-(r - m)^2 / 2 s^2)        p: probability per sr; m, s, N: DISTMU, -SIGMA, -NORM

A picture needs the integral of rho along each of the three principal axes.  Instead of following a line of sight for
each picture element, most of which see nothing, each cone is cut into pieces as deep as half an element, and the
probability of each piece, ``rho O r^2 dr`` (O: solid angle of the cone), is added to the elements that it lies in, on
all three faces at once (bilinearly, on a grid twice as fine, then averaged over 2 x 2).  Cones wider than an element
are split first.

Cells that are smooth along and across the line of sight are cut into wider cones and deeper pieces, which are blurred
by as much.

The picture is the mean over each element, not the value at its centre: nothing is aliased.  Against line integrals on a
five times finer grid the error is below 6 % of a face's maximum where the source is as thin as an element (it gets 5 %
wider), 3 % elsewhere, and 16 % on the limb of a thin shell.  The cost is bounded for any map: at most `SAMPLES` pieces
for each element of a face, and a pass over the cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.healpix import Floats, Integers, children
from gwbatch.jobs.skymap import SkyMap

FACES = ((1, 0), (0, 2), (1, 2))
"""Horizontal and vertical principal axis of each face."""

SAMPLES = 100  # pieces for each element of one face: 3 million of them for 175 x 175 elements
CHUNK = 1 << 14  # pieces at a time: their dozen arrays stay in the processor's cache
FAINTEST = 1e-5  # probability that is left out, in the faintest cells
COARSEST_LEVEL = 3  # a cell of the map is cut up to 2^3 times as coarsely as the picture needs where it is sharp
SMOOTH = 3.0  # and so that the standard deviation of the distance is at least so many times 2^level elements
ACROSS = 4.0  # and that the map's cell seems at least 2^level elements over this wide
BLUR = (0.0625, 0.25, 0.375, 0.25, 0.0625)  # binomial: a standard deviation of one cell of a grid
REACH = 4.5  # standard deviations of the distance that are drawn
COARSEST = 6  # HEALPix order to which cells are split at least
NODES, WIDTH = 40, 9.0  # of the quadrature: nodes, and its reach in standard deviations
CELLS = 1 << 12  # at a time in a quadrature
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
    """Return the moments of the distance in each cell, those of ``exp(-(r - m)^2 / 2 s^2) r^2``.

    The closed form (Singer et al. 2016, Supplement; arXiv:1605.04242) cancels out where ``m / s`` is far below zero, as
    it is where the prior dominates.  It is used only far above, where the cut at r = 0 does not matter; elsewhere a
    Gauss-Legendre quadrature is good to 1e-12.
    """
    import numpy as np

    ratio = skymap.mu / skymap.sigma
    inverse = 1 / np.maximum(ratio, WIDTH)
    mean = (1 + 3 * inverse**2) / (1 + inverse**2) / inverse
    std = np.sqrt(1 + 3 * inverse**4) / (1 + inverse**2)
    (near,) = np.nonzero(ratio < WIDTH)
    for first in range(0, len(near), CELLS):
        some = near[first : first + CELLS]
        mean[some], std[some] = _quadrature(ratio[some])
    return Moments(skymap.sigma * mean, skymap.sigma * std)


def _quadrature(ratio: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation of ``exp(-(x - ratio)^2 / 2) x^2`` for x > 0."""
    import numpy as np

    node, weight = np.polynomial.legendre.leggauss(NODES)
    # Where the integrand falls below 1e-16 of its maximum, on either side of it.
    peak = (ratio + np.sqrt(ratio**2 + 8)) / 2
    low = np.maximum(peak - WIDTH, 0.0)
    high = np.where(ratio > 0, peak + WIDTH, ratio + np.sqrt(ratio**2 + WIDTH**2))
    half = (high - low) / 2
    place = low[:, None] + half[:, None] * (node + 1)
    exponent = -((place - ratio[:, None]) ** 2) / 2
    density = weight * place**2 * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    total = density.sum(axis=1)
    mean = (density * place).sum(axis=1) / total
    return mean, np.sqrt((density * (place - mean[:, None]) ** 2).sum(axis=1) / total)


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

    brightest = _without_the_faintest(skymap)
    skymap, cells = skymap[brightest], Moments(cells.mean[brightest], cells.std[brightest])
    picture = _Picture(reach, elements)
    plan = _plan(skymap, cells, picture, samples * elements**2)
    faces = np.zeros((3, elements, elements))
    for level in np.unique(plan.level):
        chosen = plan.level == level
        of_level = Moments(cells.mean[chosen], cells.std[chosen])
        cones = _split(skymap[chosen], of_level, plan.order - int(level), reach)
        faces += _draw(cones, rotation, picture, int(level), plan.depth * 2.0**level)
    return faces


@dataclass(frozen=True)
class _Picture:
    """The picture, and the grids that are drawn on: of half an element, and each further one twice as coarse."""

    reach: float
    elements: int

    @property
    def element(self) -> float:
        """Its side in Mpc."""
        return 2 * self.reach / (self.elements - 1)

    def cells(self, grid: int) -> int:
        """How many cells of a grid cover the picture."""
        return 2 * self.elements if grid == 0 else -(-self.elements // 2 ** (grid - 1))

    def sample(self, image: Floats, grid: int) -> Floats:
        """Bring an image on a grid, of one cell more on every side, to the elements of the picture."""
        import numpy as np

        if grid == 0:
            inner = image[1:-1, 1:-1]
            return inner.reshape(self.elements, 2, self.elements, 2).sum(axis=(1, 3)) / self.element**2
        wider = 2.0 ** (grid - 1)
        place = (np.arange(self.elements) + 0.5) / wider + 0.5  # of the middle of each element, in cells
        hat = np.maximum(1 - np.abs(place[:, None] - np.arange(len(image))), 0)
        return hat @ image @ hat.T / (wider * self.element) ** 2


@dataclass(frozen=True)
class _Plan:
    """How finely cells are cut: the level of each; order of the cones and depth (Mpc) of the pieces at level 0."""

    level: Integers
    order: int
    depth: float


def _draw(cones: _Cones, rotation: Floats, picture: _Picture, level: int, depth: float) -> Floats:
    """Draw the cones of a level, above level 0 on a grid twice as fine as they seem wide, and blurred."""
    import numpy as np

    grid = max(level - 1, 0)
    width = picture.cells(grid) + 2
    sums = np.zeros((3, width * width))
    scale = np.float32(2 / picture.element / 2**grid)
    middle = np.float32((picture.reach + picture.element / 2) * scale + 0.5)
    edge = np.float32((2 * picture.reach + picture.element) * scale + 0.5)
    for radius, weight, direction in _pieces(cones, rotation, depth):
        place = [radius * axis * scale + middle for axis in direction]
        inside: Any = np.ones(len(radius), dtype=bool)
        for coordinate in place:
            inside &= (coordinate >= 0.5) & (coordinate < edge)
        _deposit(sums, [coordinate[inside] for coordinate in place], weight[inside], width)
    images = sums.reshape(3, width, width)
    return np.array([picture.sample(_blurred(image) if level else image, grid) for image in images])


def _blurred(image: Floats) -> Floats:
    """Blur an image by one cell, which leaves next to nothing of the pattern that the cones make."""
    import numpy as np

    padded = np.pad(image, 2, mode="symmetric")
    for axis in (0, 1):
        padded = sum(weight * np.roll(padded, shift, axis) for shift, weight in zip(range(-2, 3), BLUR, strict=True))
    return padded[2:-2, 2:-2]


@dataclass(frozen=True)
class _Cones:
    """Cells split to the size of picture elements: their directions, and what `_pieces` needs of their cells."""

    directions: Floats
    log_weight: Floats  # at the mean distance
    mean: Floats
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


def _plan(skymap: SkyMap, cells: Moments, picture: _Picture, budget: int) -> _Plan:
    """Choose how finely each cell is drawn: as the picture and the cell need it, within the budget."""
    import numpy as np

    order, depth = _finest_order(picture.elements), picture.element / 2
    span = np.minimum(2 * REACH * cells.std, np.sqrt(3) * picture.reach)
    # What is smooth along and across the line of sight loses nothing when it is cut more coarsely.
    across = np.sqrt(skymap.area) * np.maximum(cells.mean - cells.std, 0)
    smooth = np.minimum(cells.std / SMOOTH, ACROSS * across) / picture.element
    level = np.clip(np.floor(np.log2(np.maximum(smooth, 1.0))), 0, COARSEST_LEVEL).astype(int)

    def count() -> float:
        pieces = np.maximum(span / (depth * 2.0**level), 1.0)
        return float(np.sum(pieces * 4.0 ** np.maximum(order - level - skymap.order, 0)))

    # Deeper pieces first, then wider cones: so the error grows least (each step at most doubles it).
    while count() > budget and depth < picture.element:
        depth *= 2
    while count() > budget and order > COARSEST - 2:
        order -= 1
    while count() > budget and depth < picture.reach:
        depth *= 2
    return _Plan(level, order, depth)


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
        - np.log(skymap.sigma[parent] * np.sqrt(2 * np.pi)) - ((cells.mean - skymap.mu) / skymap.sigma)[parent] ** 2 / 2
    )  # fmt: skip
    near = np.maximum(cells.mean - REACH * cells.std, 0.0)[parent]
    far = np.minimum(cells.mean + REACH * cells.std, np.sqrt(3) * reach)[parent]
    columns = (cells.mean[parent], skymap.mu[parent], skymap.sigma[parent], near, far)
    return _Cones(concatenate(directions, axis=1), log_weight, *columns)


def _pieces(cones: _Cones, rotation: Floats, depth: float) -> Iterator[tuple[Floats, Floats, list[Floats]]]:
    """Cut cones into pieces, a chunk at a time: distance (Mpc), probability, and direction along each axis."""
    import numpy as np

    count = np.maximum(np.ceil((cones.far - cones.near) / depth), 0).astype(np.int64)
    offset = (np.arange(len(count)) * _GOLDEN) % 1.0  # each cone begins elsewhere, or its neighbours draw rings
    step = np.float32(depth)
    # Counted from the mean distance: with mu far below zero, float32 cannot resolve (r - mu)^2 / 2 sigma^2.
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


def credible_volume(skymap: SkyMap, cells: Moments, level: float = 0.9, nodes: int = 60) -> float:
    """Return the volume in Mpc^3 that holds the probability `level`, taking the densest places first."""
    import numpy as np

    bright = _without_the_faintest(skymap)
    skymap, cells = skymap[bright], Moments(cells.mean[bright], cells.std[bright])
    near = np.maximum(cells.mean - REACH * cells.std, 0.0)
    depth = (cells.mean + REACH * cells.std - near) / nodes
    log_density = np.log(skymap.density) + np.log(skymap.norm) - np.log(skymap.sigma * np.sqrt(2 * np.pi))
    # A histogram of the density instead of sorting all places: a thousandth of a decade a bin.
    bins = np.linspace(-40, 0, 40_001)
    probability, volume = np.zeros(len(bins)), np.zeros(len(bins))
    highest: float = np.max(log_density - (np.clip(skymap.mu, near, None) - skymap.mu) ** 2 / (2 * skymap.sigma**2))
    for number in range(nodes):
        radius = near + (number + 0.5) * depth
        log_rho = log_density - (radius - skymap.mu) ** 2 / (2 * skymap.sigma**2)
        size = skymap.area * radius**2 * depth
        place = np.clip(np.searchsorted(bins, log_rho - highest), 0, len(bins) - 1)
        probability += np.bincount(place, np.exp(log_rho) * size, len(bins))
        volume += np.bincount(place, size, len(bins))
    inside = np.cumsum(probability[::-1])
    count = np.searchsorted(inside, level * inside[-1]) + 1
    return float(np.sum(volume[::-1][:count]))


def distance_density(skymap: SkyMap, radius: Floats) -> Floats:
    """Return the probability per Mpc at distances in Mpc, integrated over the sky."""
    return conditional_density(skymap, radius, skymap.density * skymap.area)


def conditional_density(skymap: SkyMap, radius: Floats, probability: Floats) -> Floats:
    """Return the sum of the cells' distance posteriors (per Mpc), each weighted with a probability."""
    import numpy as np

    with np.errstate(divide="ignore"):
        log_weight = np.log(probability) + np.log(skymap.norm) - np.log(skymap.sigma * np.sqrt(2 * np.pi))
    return np.array([r**2 * np.sum(np.exp(log_weight - (r - skymap.mu) ** 2 / (2 * skymap.sigma**2))) for r in radius])
