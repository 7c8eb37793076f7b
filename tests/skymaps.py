"""Sky maps for tests: three made by BAYESTAR, and some that are deliberately hard to draw."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, exp, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from gwbatch.jobs.healpix import children, pixel_area, pixel_centres

SIMULATED = ("bns_hlv", "nsbh_hl", "bbh_hlv")
_MAPS = Path(__file__).parent / "data" / "maps"
ZENITH = np.array([0.3, -0.5, 0.81]) / np.linalg.norm([0.3, -0.5, 0.81])


def simulated(name: str) -> Path:
    """Return the path of BAYESTAR's map of a simulated event."""
    return _MAPS / f"{name}.multiorder.fits.gz"


def _lobe(direction: Any, centre: Any, width: float) -> Any:
    """Return a Gaussian around a direction; `width` is in degrees."""
    away = np.rad2deg(np.arccos(np.clip(centre @ direction, -1, 1)))
    return np.exp(-((away / width) ** 2) / 2)


def one_detector(direction: Any) -> Any:
    """Return what one detector knows of the direction, which is its antenna pattern."""
    return (1 + (ZENITH @ direction) ** 2) ** 3


def two_lobes(direction: Any) -> Any:
    """Return two lobes on opposite sides of the sky."""
    return _lobe(direction, ZENITH, 3.0) + 0.5 * _lobe(direction, -ZENITH, 5.0)


def shell(direction: Any) -> Any:
    """Return a uniform density, for a direction that is unknown."""
    return np.ones(direction.shape[1])


def needle(direction: Any) -> Any:
    """Return a lobe of a tenth of a degree."""
    return _lobe(direction, ZENITH, 0.1)


def broad(direction: Any) -> Any:
    """Return a lobe that covers a third of the sky."""
    return _lobe(direction, ZENITH, 40.0)


def fine(direction: Any) -> Any:
    """Return a lobe of two degrees, for a map with cells of two arc minutes."""
    return _lobe(direction, ZENITH, 0.5)


# name: density, finest order, share of cells that are split, location and scale of the distance (Mpc)
HARD: dict[str, tuple[Callable[[Any], Any], int, float, float, float]] = {
    "one-detector": (one_detector, 5, 0.5, 150.0, 60.0),
    "two-lobes": (two_lobes, 8, 0.25, 1500.0, 300.0),
    "shell": (shell, 3, 1.0, 100.0, 10.0),
    "thin-shell": (shell, 3, 1.0, 100.0, 2.0),
    "needle": (needle, 11, 0.25, 10.0, 0.3),
    "far-and-broad": (broad, 5, 0.5, -500.0, 3000.0),
    "order-11": (fine, 11, 0.33, 400.0, 80.0),
}


def write_hard(name: str, path: Path, *, least_order: int = 0) -> Path:
    """Write one of the hard maps, with one cell split down to `least_order`, which leaves the density unchanged.

    The ligo.skymap tool samples lines of sight in steps that it derives from the finest cell.  If all cells are
    coarse, it draws rings that do not exist.
    """
    density, finest, share, mu, sigma = HARD[name]
    order, ipix, values = adaptive(density, finest, share)
    while order.max() < least_order:
        last = int(np.argmax(order))
        order = np.append(np.delete(order, last), [order[last] + 1] * 4)
        ipix = np.append(np.delete(ipix, last), 4 * ipix[last] + np.arange(4))
        values = np.append(np.delete(values, last), [values[last]] * 4)
    return write_map(path, order, ipix, values, mu, sigma, name=name)


def adaptive(density: Callable[[Any], Any], finest: int, share: float) -> tuple[Any, Any, Any]:
    """Split the most probable cells repeatedly; return order, nested index and probability per sr."""
    order, ipix = np.full(768, 3), np.arange(768)
    while order.max() < finest:
        probability = density(pixel_centres(order, ipix)) * pixel_area(order)
        splittable = np.flatnonzero(order == order.max())
        chosen = splittable[np.argsort(-probability[splittable])[: max(1, int(share * len(splittable)))]]
        rest = np.setdiff1d(np.arange(len(ipix)), chosen)
        level = int(order.max()) + 1
        _, finer = children(order[chosen], ipix[chosen], 1)
        order = np.concatenate([order[rest], np.full(len(finer), level)])
        ipix = np.concatenate([ipix[rest], finer])
    values = density(pixel_centres(order, ipix))
    return order, ipix, values / np.sum(values * pixel_area(order))


def write_map(
    path: Path, order: Any, ipix: Any, density: Any, mu: Any, sigma: Any, *, name: str = "", norm: Any = None
) -> Path:
    """Write a multi-order map with distances, either one for all cells or one for each."""
    from astropy.table import Table
    from ligo.skymap.io import write_sky_map

    ones = np.ones(len(ipix))
    table = Table({"UNIQ": (4 << (2 * order.astype(np.int64))) + ipix, "PROBDENSITY": density})
    table["DISTMU"], table["DISTSIGMA"] = mu * ones, sigma * ones
    table["DISTNORM"] = ones * (normalization(mu, sigma) if norm is None else norm)
    table.meta.update({"objid": name, "instruments": {"H1", "L1"}})
    if np.ndim(mu) == 0 and 0 < mu < np.inf:
        table.meta.update({"distmean": mu + 2 * sigma**2 / mu, "diststd": sigma})
    table.sort("UNIQ")
    write_sky_map(str(path), table, nest=True)
    return path


def normalization(mu: float, sigma: float) -> float:
    """Return one over the integral of r^2 times a Gaussian, from zero to infinity, in Mpc^-2."""
    below = (1 + erf(mu / sigma / sqrt(2))) / 2
    return 1 / ((mu**2 + sigma**2) * below + mu * sigma * exp(-((mu / sigma) ** 2) / 2) / sqrt(2 * pi))
