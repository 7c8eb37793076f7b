"""Sky maps with distances as arrays, read without the science stack, which takes a second to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.fits_file import Unsupported, open_fits, read_table, read_units
from gwbatch.jobs.healpix import Floats, Integers, pixel_area, pixel_centres, split_uniq

DISTANCES = ("DISTMU", "DISTSIGMA", "DISTNORM")


@dataclass(frozen=True)
class SkyMap:
    """A multi-order map with the distance ansatz of Singer et al. 2016 (ApJL 829, L15; arXiv:1603.07333).

    In the direction of a cell the posterior of the distance r is ``norm / (sigma sqrt(2 pi)) exp(-(r - mu)^2 / 2
    sigma^2) r^2``.

    Attributes
    ----------
    order, ipix : ndarray of int, shape (n,)
        HEALPix order and nested index of each cell.
    density : ndarray, shape (n,)
        Probability per sr.
    mu, sigma : ndarray, shape (n,)
        Location and scale of the distance in Mpc.
    norm : ndarray, shape (n,)
        Normalization in Mpc^-2.
    header : mapping
        Header of the table.
    """

    order: Integers
    ipix: Integers
    density: Floats
    mu: Floats
    sigma: Floats
    norm: Floats
    header: Mapping[str, Any]

    @property
    def area(self) -> Floats:
        """Solid angle of each cell in sr."""
        return pixel_area(self.order)

    @property
    def directions(self) -> Floats:
        """Centre of each cell as a unit vector, shape (3, n)."""
        return pixel_centres(self.order, self.ipix)

    def __getitem__(self, chosen: Any) -> SkyMap:
        """Return some of the cells."""
        return SkyMap(
            self.order[chosen], self.ipix[chosen], self.density[chosen], self.mu[chosen], self.sigma[chosen],
            self.norm[chosen], self.header,
        )  # fmt: skip


def read_distances(path: Path) -> SkyMap:
    """Read a sky map that has distances, multi-order or flat.

    Raises
    ------
    BadInput
        When it cannot be read, or has no distances.
    """
    import numpy as np

    try:
        with open_fits(path) as stream:
            unit = read_units(stream)[1]
            names = {str(value).strip() for name, value in unit.header.items() if name.startswith("TTYPE")}
            if not set(DISTANCES) <= names:
                raise BadInput(f"Cannot draw the volume of {path.name}: the map has no distances.")
            multiorder = {"UNIQ", "PROBDENSITY"} <= names
            table = read_table(stream, unit) if multiorder else _flat(path)
    except Unsupported:
        table = _flat(path)
    except (IndexError, OSError) as error:
        raise BadInput(f"Cannot read {path.name} as a sky map: {error}.") from error
    order, ipix = split_uniq(table["UNIQ"])
    density, mu, sigma, norm = (table[name].astype(np.float64).ravel() for name in ("PROBDENSITY", *DISTANCES))
    return SkyMap(order, ipix, density, mu, sigma, norm, unit.header)


def describe_sky(path: Path) -> str | None:
    """Describe where a map points, as alternative text for its picture; return None if it is not multi-order."""
    import numpy as np

    try:
        with open_fits(path) as stream:
            table = read_table(stream, read_units(stream)[1])
        order, ipix = split_uniq(table["UNIQ"])
        density = table["PROBDENSITY"].astype(np.float64)
    except (Unsupported, IndexError, KeyError):
        return None
    brightest = int(np.argmax(density))
    x, y, z = pixel_centres(order[[brightest]], ipix[[brightest]])[:, 0]
    ra, dec = np.rad2deg(np.arctan2(y, x)) % 360, np.rad2deg(np.arcsin(z))
    area = credible_area(density, pixel_area(order))
    return f"90% of the probability in {rounded(area)} deg², most of it near RA {ra:.1f}°, Dec {dec:+.1f}°"


def credible_area(density: Floats, area: Floats, level: float = 0.9) -> float:
    """Return the area in deg^2 that holds the probability `level`, taking the densest cells first.

    Parameters
    ----------
    density : ndarray, shape (n,)
        Probability per sr of each cell.
    area : ndarray, shape (n,)
        Solid angle of each cell in sr.
    """
    import numpy as np

    order = np.argsort(-density)
    probability = np.cumsum(density[order] * area[order])
    inside = np.searchsorted(probability, level * probability[-1]) + 1
    return float(np.sum(area[order][:inside]) * (180 / np.pi) ** 2)


def rounded(value: float) -> str:
    """Format a number with two significant digits, without an exponent from 1e-4 up."""
    digits = float(f"{value:.2g}")
    return f"{digits:,.0f}" if digits >= 10 else f"{digits:g}"


def _flat(path: Path) -> dict[str, Any]:
    """Read a map that `read_table` cannot, such as one of a single resolution, with the whole science stack."""
    import numpy as np
    from ligo.skymap.io import read_sky_map

    from gwbatch.jobs.science import offline_astropy

    offline_astropy()
    table = read_sky_map(str(path), moc=True, distances=True)
    return {name: np.asarray(table[name]) for name in ("UNIQ", "PROBDENSITY", *DISTANCES)}
