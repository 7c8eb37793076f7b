"""From a multi-order map to one of a single resolution."""

from __future__ import annotations

from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy


@job(queue="general")
def flatten(work: Work) -> None:
    """Write the map at one resolution (``nside``; 0 keeps the finest), gzipped by its name."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_flatten import main

    (source,) = work.inputs.values()
    nside = int(work.parameters.get("nside", 0))
    main([str(source), str(work.output), *(["--nside", str(nside)] if nside else [])])
