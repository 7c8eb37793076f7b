"""From a multi-order map to one of a single resolution."""

from __future__ import annotations

import gzip
from pathlib import Path

from gwbatch.jobs.by_hand import SKYMAP, ByHand, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.fits_file import Unsupported
from gwbatch.jobs.science import offline_astropy


@job(
    queue="general",
    preload=["numpy", "astropy.utils.iers"],
    by_hand=ByHand(
        "A multi-order map at a single resolution.",
        (SKYMAP,),
        (Parameter("nside", "Resolution; 0 keeps the finest.  [default: the policy's, 0]", int, least=0),),
    ),
)
def flatten(work: Work) -> None:
    """Write the map at one resolution (``nside``; 0 keeps the finest), gzipped by its name."""
    from gwbatch.jobs.flat_map import FlatMap

    (source,) = work.inputs.values()
    nside = int(work.parameters.get("nside", 0))
    try:
        flat = FlatMap.read(source, nside)
    except Unsupported:
        _with_the_tool(source, work.output, nside)
        return
    with work.output.open("wb") as file:
        if work.output.suffix == ".gz":
            with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
                flat.write(packed)
        else:
            flat.write(file)


LEVEL = 1  # a sky map packs to nearly the same size at any level, at the first five times faster


def _with_the_tool(source: Path, output: Path, nside: int) -> None:
    """Take the whole map into memory: for maps that are not laid out as BAYESTAR's."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_flatten import main

    main([str(source), str(output), *(["--nside", str(nside)] if nside else [])])
