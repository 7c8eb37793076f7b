"""Combination of the sky maps of a superevent and an external trigger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import ByHand, Input
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.external_skymap import pixel_area
from gwbatch.jobs.science import offline_astropy

if TYPE_CHECKING:
    from astropy.table import Table

FINEST = 29  # HEALPix order at which pixels are compared
NORMALISED_WITHIN = 1e-3


@job(
    queue="openmp",
    by_hand=ByHand(
        "Multiply the maps of a SUPEREVENT and an EXTERNAL trigger; the overlap integral is in result.json.",
        (Input("superevent", "superevent.fits"), Input("external", "external.fits")),
    ),
)
def combine_skymaps(work: Work) -> dict[str, Any]:
    """Multiply ``superevent.fits``, whose distances are kept, by ``external.fits``.

    The facts are the ``overlap_integral`` of the two and whether they are ``disjoint``.
    """
    offline_astropy()
    from astropy.time import Time
    from ligo.skymap.distance import parameters_to_marginal_moments
    from ligo.skymap.io import fits

    ours, other = (_read(work.inputs[name]) for name in ("superevent.fits", "external.fits"))
    combined, overlap = combine(ours, other)
    about: dict[str, Any] = {"gps_time": ours.meta.get("gps_time"), "creator": "gwbatch", "origin": "LIGO/Virgo/KAGRA"}
    about["gps_creation_time"] = Time.now().gps
    about["instruments"] = {*ours.meta.get("instruments", ()), *other.meta.get("instruments", ())}
    if "DISTMU" in combined.colnames and overlap > 0:
        probability = combined["PROBDENSITY"] * pixel_area(combined["UNIQ"])
        about["distmean"], about["diststd"] = parameters_to_marginal_moments(
            probability, combined["DISTMU"], combined["DISTSIGMA"]
        )
    combined.meta.clear()
    fits.write_sky_map(
        str(work.output), combined, moc=True, **{name: value for name, value in about.items() if value is not None}
    )
    return {"overlap_integral": overlap, "disjoint": overlap == 0}


def combine(ours: Table, other: Table) -> tuple[Table, float]:
    """Multiply two multi-order maps, pixel by pixel at the finer resolution of the two.

    Returns
    -------
    combined : Table
        Normalised to 1 (all zero if the maps are disjoint), with the distance columns of `ours`.
    overlap : float
        ``4 pi`` times the integral of the product of the densities: 1 if either map is uniform, more if the two
        agree (Ashton et al. 2018; with equal pixels ``N_pix sum(p q)``).
    """
    import numpy as np
    from astropy.table import Table

    (begin_a, order_a, row_a), (begin_b, order_b, row_b) = _cells(ours), _cells(other)
    begin = np.union1d(begin_a, begin_b)
    in_a = np.searchsorted(begin_a, begin, "right") - 1
    in_b = np.searchsorted(begin_b, begin, "right") - 1
    # Of two overlapping pixels one contains the other, so the finer one begins where a cell of the common grid does.
    order = np.maximum(order_a[in_a], order_b[in_b])
    uniq = (begin >> 2 * (FINEST - order)) + (np.int64(4) << 2 * order)
    product = np.asarray(ours["PROBDENSITY"])[row_a[in_a]] * np.asarray(other["PROBDENSITY"])[row_b[in_b]]
    integral = float(np.sum(product * pixel_area(uniq)))
    combined = Table({"UNIQ": uniq, "PROBDENSITY": product / integral if integral > 0 else product})
    combined["PROBDENSITY"].unit = "sr-1"
    for name in ("DISTMU", "DISTSIGMA", "DISTNORM"):
        if name in ours.colnames:
            combined[name] = ours[name][row_a[in_a]]
    return combined, 4 * np.pi * integral


def _cells(table: Table) -> tuple[Any, Any, Any]:
    """Return the beginnings and orders of a map's pixels, and their rows in the table, sorted by beginning.

    The beginning of a pixel is its first nested index at the order `FINEST`.
    """
    import numpy as np

    uniq = np.asarray(table["UNIQ"], dtype=np.int64)
    order = (np.log2(uniq / 4) // 2).astype(np.int64)
    begin = (uniq - (np.int64(4) << 2 * order)) << 2 * (FINEST - order)
    rows = np.argsort(begin)
    return begin[rows], order[rows], rows


def _read(path: Path) -> Table:
    import numpy as np
    from ligo.skymap.io import fits

    try:
        table = fits.read_sky_map(str(path), moc=True)
        area = pixel_area(table["UNIQ"])
    except Exception as error:
        raise BadInput(f"{path.name} is not a HEALPix sky map: {error or type(error).__name__}") from error
    if not abs(float(np.sum(area)) / (4 * np.pi) - 1) < NORMALISED_WITHIN:
        raise BadInput(f"{path.name} does not cover the whole sky exactly once")
    total = float(np.sum(np.asarray(table["PROBDENSITY"]) * area))
    if not abs(total - 1) < NORMALISED_WITHIN:
        raise BadInput(f"{path.name} holds a probability of {total:g}, not 1")
    return table
