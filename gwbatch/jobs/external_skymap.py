"""Sky map of an external trigger: a model around its position, or the map that its observatory made."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwbatch.errors import BadInput
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy

if TYPE_CHECKING:
    from astropy.table import Table

GIVEN = "given.fits"
LARGEST = 10**9  # bytes of an unpacked map, at most
ROUNDS = 8  # of refinement, down to pixels of 50 arc seconds


@job(queue="general")
def external_skymap(work: Work) -> dict[str, Any]:
    """Write the sky map of an external trigger as a multi-order map, normalised to 1.

    Parameters of the job: ``ra``, ``dec``, ``error`` (deg, 1 sigma), ``mixture`` (``[[weight, sigma / deg], ...]``,
    systematic errors that are added in quadrature), ``gps_time`` (s), ``instrument``, ``object``.
    An input ``given.fits`` is the observatory's own HEALPix map, which replaces the model.
    """
    offline_astropy()
    from astropy.time import Time
    from ligo.skymap.io import fits

    wanted = work.parameters
    if work.inputs:
        (path,) = work.inputs.values()
        skymap = read_given(path)
    else:
        skymap = circle(wanted["ra"], wanted["dec"], wanted["error"], wanted.get("mixture") or [[1.0, 0.0]])
    fits.write_sky_map(
        str(work.output),
        skymap,
        moc=True,
        objid=wanted["object"],
        instruments=wanted["instrument"],
        gps_time=wanted["gps_time"],
        gps_creation_time=Time.now().gps,
        creator="gwbatch",
        origin=wanted["instrument"],
    )
    return {"pixels": len(skymap), "given": bool(work.inputs)}


def circle(ra: float, dec: float, error: float, mixture: list[list[float]]) -> Table:
    """Sum von Mises-Fisher distributions around a position.

    Parameters
    ----------
    ra, dec, error : float
        In deg; `error` is the 1-sigma radius of the equivalent Gaussian on the plane.
    mixture : list of [weight, sigma]
        Each part has the radius ``hypot(error, sigma)`` (deg).

    Returns
    -------
    Table
        ``UNIQ`` and ``PROBDENSITY`` (per steradian) on an adaptive grid.

    Notes
    -----
    ``p = kappa / (2 pi (1 - exp(-2 kappa))) exp(kappa (cos(theta) - 1))`` with ``kappa = 1 / sigma**2``
    (Fisher 1953). The parts for Fermi GBM follow Connaughton et al. (2015).
    """
    import numpy as np
    from ligo.skymap.moc import bayestar_adaptive_grid

    lon, lat = math.radians(ra), math.radians(dec)
    parts = [(weight, 1 / math.radians(math.hypot(error, sigma)) ** 2) for weight, sigma in mixture]

    def density(places: Any) -> Any:
        # Compute 1 - cos(theta) from haversines, which stay accurate down to arc seconds.
        haversine = (
            np.sin((places[:, 1] - lat) / 2) ** 2
            + np.cos(lat) * np.cos(places[:, 1]) * np.sin((places[:, 0] - lon) / 2) ** 2
        )
        return sum(
            weight * kappa / (2 * np.pi * -np.expm1(-2 * kappa)) * np.exp(-2 * kappa * haversine)
            for weight, kappa in parts
        )

    return bayestar_adaptive_grid(density, rounds=ROUNDS)


def read_given(path: Path) -> Table:
    """Read the map of an observatory, flat or multi-order, as ``UNIQ`` and ``PROBDENSITY`` normalised to 1."""
    table = read_any(path)
    table.meta.clear()
    return table["UNIQ", "PROBDENSITY"]


def read_any(path: Path) -> Table:
    """Read a map from any source, flat or multi-order, as a multi-order one normalised to 1; keep everything else.

    Raises
    ------
    BadInput
        When it is not a HEALPix map of a probability, or too large.
    """
    import numpy as np
    from ligo.skymap.io import fits

    plain = path.with_name("given.plain.fits")
    plain.write_bytes(_unpacked(path.read_bytes()))
    try:
        table = fits.read_sky_map(str(plain), moc=True)
        density = np.asarray(table["PROBDENSITY"], dtype=float)
        area = pixel_area(table["UNIQ"])
    except Exception as error:
        raise BadInput(f"{path.name} is not a HEALPix sky map: {error or type(error).__name__}") from error
    finally:
        plain.unlink()
    total = float(np.sum(density * area))
    if not (np.all(np.isfinite(density)) and np.all(density >= 0) and 0 < total < math.inf):
        raise BadInput(f"{path.name} does not hold valid probabilities")
    table["PROBDENSITY"] = density / total
    table["PROBDENSITY"].unit = "sr-1"
    return table


def pixel_area(uniq: Any) -> Any:
    """Return the area of multi-order pixels in steradians."""
    import numpy as np

    order = (np.log2(np.asarray(uniq) / 4) // 2).astype(int)
    return np.pi / 3 / 4.0**order


def _unpacked(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(content, LARGEST)
    except zlib.error as error:
        raise BadInput(f"the sky map is damaged: {error}") from error
    if unpacker.unconsumed_tail:
        raise BadInput(f"the sky map is larger than {LARGEST} bytes")
    return plain
