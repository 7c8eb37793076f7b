"""Conversion of a multi-order map to a single resolution."""

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
        "Convert a multi-order map to a single resolution.",
        (SKYMAP,),
        (Parameter("nside", "Resolution (nside); 0 keeps the finest.  [default: the policy's, 0]", int, least=0),),
    ),
)
def flatten(work: Work) -> None:
    """Write the map at one resolution (``nside``; 0 keeps the finest), gzipped if its name ends in ``.gz``."""
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


LEVEL = 1  # of gzip: sky maps shrink to nearly the same size at any level, and level 1 is five times faster


def _with_the_tool(source: Path, output: Path, nside: int) -> None:
    """Flatten a map that is not laid out like BAYESTAR's with the field's tool, which holds all of it in memory."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_flatten import main

    main([str(source), str(output), *(["--nside", str(nside)] if nside else [])])
