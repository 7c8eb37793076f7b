"""Conversion of a single-resolution map, as some pipelines make it, to a multi-order one."""

from __future__ import annotations

from typing import Any

from gwbatch.jobs.by_hand import GRACEID, SKYMAP, ByHand
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.external_skymap import read_any
from gwbatch.jobs.science import offline_astropy


@job(
    queue="general",
    name="multi-order",
    by_hand=ByHand(
        "Convert a single-resolution SKYMAP, as some pipelines make it, to a multi-order map.",
        (SKYMAP,),
        (GRACEID,),
        examples=("multi-order cwb.fits.gz -o cwb.multiorder.fits",),
    ),
)
def multi_order(work: Work) -> dict[str, Any]:
    """Write the map as a multi-order one, normalised to 1; keep its distances and the headers about the event."""
    offline_astropy()
    from ligo.skymap.io import fits

    (path,) = work.inputs.values()
    skymap = read_any(path)
    if work.parameters.get("graceid"):
        skymap.meta["objid"] = work.parameters["graceid"]
    fits.write_sky_map(str(work.output), skymap, moc=True)
    return {
        "has_distances": "DISTNORM" in skymap.colnames,
        "has_coherence": "log_bci" in skymap.meta,
        "note": f"made from {path.name}",
    }
