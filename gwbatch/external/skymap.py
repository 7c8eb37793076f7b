"""Which sky map a notice allows: its error circle, with what is known of its observatory's systematic errors."""

from __future__ import annotations

from typing import Any

from gwbatch.config.external import External
from gwbatch.external.notices import Notice


def headers(notice: Notice) -> dict[str, Any]:
    """What the map's FITS headers say of the trigger: time (GPS s), instrument, name."""
    return {
        "gps_time": notice.time,
        "instrument": notice.observatory,
        "object": f"{notice.observatory} {notice.trigger_id}",
    }


def model(notice: Notice, settings: External) -> dict[str, Any] | None:
    """Parameters of the job ``external-skymap``, in deg; None for a notice without a position.

    The parts of ``mixture`` are ``[weight, sigma]``: for Fermi GBM core and tail of the systematic error by notice
    type (Connaughton et al. 2015), else none.
    """
    if notice.ra is None or notice.dec is None:
        return None
    known = settings.fermi_systematics.get(notice.kind) if notice.observatory == "Fermi" else None
    parts = [[known.core_weight, known.core], [1 - known.core_weight, known.tail]] if known else [[1.0, 0.0]]
    error = max(notice.error or 0.0, settings.least_error)
    return {"ra": notice.ra, "dec": notice.dec, "error": error, "mixture": parts}
