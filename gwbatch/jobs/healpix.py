"""HEALPix geometry in the nested numbering, in NumPy alone.

Importing a HEALPix library would take longer than drawing a picture.

Formulae: Gorski et al. 2005, ApJ 622, 759 (arXiv:astro-ph/0409513), section 5 and appendix A.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Floats: TypeAlias = Any
"""An array of float64; the alias spares modules that only annotate types the import of NumPy."""
Integers: TypeAlias = Any
"""An array of int64."""

# Row and longitude (in units of pi / 4) of the southernmost corner of each of the twelve base pixels.
_ROW = (2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4)
_LONGITUDE = (1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7)


def split_uniq(uniq: Integers) -> tuple[Integers, Integers]:
    """Return order and nested index of pixels given as ``UNIQ = 4 nside^2 + ipix``."""
    import numpy as np

    wide = np.asarray(uniq, dtype=np.int64)
    order = (np.frexp(wide.astype(np.float64))[1] - 1) // 2 - 1
    return order.astype(np.int64), wide - (np.int64(4) << (2 * order.astype(np.int64)))


def pixel_area(order: Integers) -> Floats:
    """Return the solid angle of pixels in sr."""
    import numpy as np

    return np.pi / 3 / 4.0 ** np.asarray(order, dtype=np.float64)


def pixel_centres(order: Integers, ipix: Integers) -> Floats:
    """Return the centres of nested pixels as unit vectors, of shape (3, n).

    Parameters
    ----------
    order, ipix : ndarray of int, shape (n,)
        HEALPix order (nside = 2^order, up to 29) and nested index.
    """
    import numpy as np

    order, ipix = np.asarray(order, dtype=np.int64), np.asarray(ipix, dtype=np.int64)
    nside = np.int64(1) << order
    base = ipix >> (2 * order)
    within = ipix - (base << (2 * order))
    x, y = _even_bits(within), _even_bits(within >> 1)
    ring = (np.array(_ROW)[base] << order) - x - y - 1
    north, south = ring < nside, ring > 3 * nside
    in_ring = np.where(north, ring, np.where(south, 4 * nside - ring, nside))
    cap = in_ring.astype(np.float64) ** 2 / (3.0 * nside.astype(np.float64) ** 2)  # 1 - |z| near a pole
    belt = (2.0 * nside - ring) * 2.0 / (3.0 * nside)
    z = np.where(north, 1.0 - cap, np.where(south, cap - 1.0, belt))
    sine = np.sqrt(np.where(north | south, cap * (2.0 - cap), (1.0 - z) * (1.0 + z)))
    longitude = (np.array(_LONGITUDE)[base] * in_ring + x - y) * (np.pi / 4) / in_ring
    return np.stack([sine * np.cos(longitude), sine * np.sin(longitude), z])


def children(order: Integers, ipix: Integers, finer: int) -> tuple[Integers, Integers]:
    """Return the descendants of pixels `finer` orders down the tree, as index of the parent and nested index."""
    import numpy as np

    count = 4**finer
    parents: Integers = np.repeat(np.arange(len(ipix)), count)
    return parents, (np.repeat(ipix, count) << (2 * finer)) + np.tile(np.arange(count), len(ipix))


def _even_bits(bits: Integers) -> Integers:
    """Gather every second bit of 64-bit numbers, beginning with the lowest."""
    import numpy as np

    found = bits & np.int64(0x5555555555555555)
    for shift, mask in (
        (1, 0x3333333333333333), (2, 0x0F0F0F0F0F0F0F0F), (4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):  # fmt: skip
        found = (found | (found >> shift)) & np.int64(mask)
    return found


def pixels_at(order: int, x: Floats, y: Floats, z: Floats) -> Integers:
    """Return the nested indices of the pixels in given directions.

    In the projection of the sphere onto a plane (Calabretta & Roukema 2007, MNRAS 381, 865) all pixels are squares that
    stand on a corner. A pixel is where a falling diagonal strip of them meets a rising one.

    Parameters
    ----------
    order : int
        HEALPix order, up to 13.
    x, y : ndarray, shape (n,)
        Two components of the directions, in any unit.
    z : ndarray, shape (n,)
        Third component, of unit vectors. In float32 about 1e-4 of the directions end up in a neighbouring pixel.

    Returns
    -------
    ndarray of int32, shape (n,)
    """
    import numpy as np

    nside = 1 << order
    longitude = np.arctan2(y, x)
    across = longitude * (2 / np.pi)  # in quarters of a turn
    across = np.where(longitude < 0, across + 4, across)
    height = np.abs(z)
    polar = height > 0.66666
    narrow = np.sqrt(3 * (1 - np.minimum(height, 1)))
    quarter = np.floor(across)
    middle = quarter + 0.5
    across = np.where(polar, middle + (across - middle) * narrow, across)
    up = np.where(polar, np.copysign(1 - narrow / 2, z), z * 0.75)
    falling = ((across + 0.5 - up) * nside).astype(np.int32)
    rising = ((across + 0.5 + up) * nside).astype(np.int32)
    # Around a pole each quarter has its own strips, which include its edge.
    first = quarter.astype(np.int32) << order
    southern = (z < 0) * np.int32(nside)
    falling = np.where(polar, np.clip(falling, first + southern, first + southern + (nside - 1)), falling)
    rising = np.where(polar, np.clip(rising, first + nside - southern, first + 2 * nside - 1 - southern), rising)
    left, right = falling >> order, rising >> order
    base = np.where(left == right, (left & 3) | 4, np.where(left < right, left & 3, (right & 3) + 8))
    column, row = rising & (nside - 1), nside - 1 - (falling & (nside - 1))
    return (base << (2 * order)) + _spread(column) + 2 * _spread(row)


def _spread(bits: Integers) -> Integers:
    """Put a zero between the bits of numbers below 2^16."""
    import numpy as np

    spread = bits
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        spread = (spread | (spread << shift)) & np.int32(mask)
    return spread
