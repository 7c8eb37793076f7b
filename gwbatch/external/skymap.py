"""The sky map that follows from a notice: its error circle, with the observatory's known systematic errors."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

from gwbatch.config.external import ExternalPolicy
from gwbatch.external.notices import Notice


def headers(notice: Notice) -> dict[str, Any]:
    """Return what the map's FITS headers say about the trigger: time (GPS s), instrument and name."""
    return {
        "gps_time": notice.time,
        "instrument": notice.observatory,
        "object": f"{notice.observatory} {notice.trigger_id}",
    }


def model(notice: Notice, settings: ExternalPolicy) -> dict[str, Any] | None:
    """Return the parameters of the job ``external-skymap``, in deg; None for a notice without a position.

    The parts of ``mixture`` are ``[weight, sigma]``. For Fermi GBM they are the core and tail of the systematic error,
    which depends on the kind of notice (Connaughton et al. 2015). For other observatories, and for targeted searches,
    there is no systematic error.
    """
    if notice.ra is None or notice.dec is None:
        return None
    ordinary = notice.observatory == "Fermi" and not notice.centred and notice.search != "SubGRBTargeted"
    known = settings.fermi_systematics.get(notice.kind) if ordinary else None
    parts = [[known.core_weight, known.core], [1 - known.core_weight, known.tail]] if known else [[1.0, 0.0]]
    return {"ra": notice.ra, "dec": notice.dec, "error": sigma(notice, settings), "mixture": parts}


def sigma(notice: Notice, settings: ExternalPolicy) -> float:
    """Return the 1-sigma radius of a position in deg, never less than the policy's `least_error`.

    For a Gaussian on the plane, the radius that contains the probability P is ``sigma * sqrt(-2 ln(1 - P))``.
    """
    contained = notice.contained
    if contained is None:
        usual = settings.radius_contains
        contained = usual.get(f"{notice.form}.{notice.observatory}".lower(), usual.get(notice.form, 0.0))
    scale = sqrt(-2 * log(1 - contained)) if contained else 1.0
    return max((notice.radius or 0.0) / scale, settings.least_error)
