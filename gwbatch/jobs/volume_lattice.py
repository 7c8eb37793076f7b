"""Projections of a wide and smooth volume, as its density at the points of a lattice, added up along each axis.

Where the density is a Gaussian of the distance, a sum over points is nearly as accurate as an integral.  With points h
apart and a standard deviation s, the error is ``2 exp(-2 pi^2 s^2 / h^2)``.  One lattice serves all three faces.  From
a cube of stacked picture elements, it takes the centres whose three indices add up to a multiple of M.  Every line of
sight of every face therefore has one point in every M elements.  Neighbouring lines begin at different depths, which
spreads the error from edges between cells of the map.
"""

from __future__ import annotations

from typing import NamedTuple

from gwbatch.jobs.healpix import Floats, Integers, pixels_at
from gwbatch.jobs.skymap import SkyMap
from gwbatch.jobs.volume_faces import Cube, Moments

POINTS = 100  # on each line of sight, at most
FINEST = 8  # highest HEALPix order of the cells, with 786,432 pixels
DEEP = 0.8  # largest spacing of points along a line of sight, in standard deviations of the distance
ACROSS = 1.0  # least apparent width of a cell, in elements
REACH = 4.5  # standard deviations of the distance that are drawn


def wide(skymap: SkyMap, cells: Moments, cube: Cube) -> Floats:
    """Return which cells are wide and smooth enough for sampling at single points."""
    import numpy as np

    across = np.sqrt(skymap.area) * cells.mean
    deep = cells.std >= DEEP * _apart(cube) * cube.element
    return (skymap.order <= FINEST) & (across >= ACROSS * cube.element) & deep


def project(skymap: SkyMap, cells: Moments, cube: Cube) -> Floats:
    """Return the probability per Mpc^2 on the three faces, shape (3, elements, elements)."""
    import numpy as np

    density = _Density.of(skymap, cells)
    near = max(float(np.min(cells.mean - REACH * cells.std)), 0.0)
    far = float(np.max(cells.mean + REACH * cells.std))
    elements, apart = cube.elements, _apart(cube)
    axis = np.linspace(-cube.reach, cube.reach, elements, dtype=np.float32)
    turn = cube.rotation.astype(np.float32)
    faces = np.zeros((3, elements, elements))
    row = np.arange(elements)[:, None]
    for plane in range(elements):
        column = -(plane + row) % apart + np.arange(0, elements, apart)
        x, y, z = axis[plane], axis[row], axis[np.minimum(column, elements - 1)]
        square = x**2 + y**2 + z**2
        seen = (column < elements) & (square > near**2) & (square < far**2)
        flat = (row * elements + column)[seen]
        y, z, radius = np.broadcast_to(y, seen.shape)[seen], z[seen], np.sqrt(square[seen])
        place = [across * x + up * y + along * z for across, up, along in turn]
        image = np.bincount(flat, density.at(place, radius), elements**2).reshape(elements, elements)
        faces[0, plane] = image.sum(axis=1)
        faces[1, :, plane] = image.sum(axis=0)
        faces[2] += image.T
    return faces * apart * cube.element


def _apart(cube: Cube) -> int:
    """Return the spacing of the points on a line of sight, in elements."""
    return -(-cube.elements // POINTS)


class _Density(NamedTuple):
    """The density in each cell as a function of the offset from the mean distance.

    The offset is needed because float32 has too few digits where DISTMU is far below zero.  The last cell is empty and
    takes all pixels that no other cell covers.
    """

    order: int
    cell: Integers  # of each pixel of this order
    mean: Floats
    logarithm: Floats  # of the density at the mean distance
    tilt: Floats
    scale: Floats

    @classmethod
    def of(cls, skymap: SkyMap, cells: Moments) -> _Density:
        import numpy as np

        order = int(skymap.order.max())
        cell = np.full(12 * 4**order, len(cells.mean), dtype=np.int32)
        for own in np.unique(skymap.order):
            (chosen,) = np.nonzero(skymap.order == own)
            cell.reshape(-1, 4 ** (order - int(own)))[skymap.ipix[chosen]] = chosen[:, None]
        away = (cells.mean - skymap.mu) / skymap.sigma
        logarithm = np.log(skymap.density) + np.log(skymap.norm) - np.log(skymap.sigma * np.sqrt(2 * np.pi))
        tilt, scale = away * np.sqrt(2), np.sqrt(0.5) / skymap.sigma
        columns = ((cells.mean, 0), (logarithm - away**2 / 2, -np.inf), (tilt, 0), (scale, 0))
        return cls(order, cell, *(np.append(column, last).astype(np.float32) for column, last in columns))

    def at(self, place: list[Floats], radius: Floats) -> Floats:
        """Return the probability per Mpc^3 at places in Mpc, with their distances from Earth as `radius`."""
        import numpy as np

        cell = self.cell[pixels_at(self.order, place[0], place[1], place[2] / radius)]
        scaled = (radius - self.mean[cell]) * self.scale[cell]
        return np.exp(self.logarithm[cell] - scaled * (scaled + self.tilt[cell]))
