"""The sky map in Mollweide projection."""

from __future__ import annotations

from typing import Any

from gwbatch.jobs.by_hand import CONTOURS, SKYMAP, ByHand
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy


@job(
    queue="general",
    preload=["gwbatch.jobs.skymap", "ligo.skymap.tool.ligo_skymap_plot"],
    by_hand=ByHand("Draw the sky map in Mollweide projection.", (SKYMAP,), (CONTOURS,)),
)
def plot_allsky(work: Work) -> dict[str, Any]:
    """Draw the map with credible contours (``contours``, in per cent) and annotations."""
    from gwbatch.jobs.skymap import describe_sky

    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_plot import main

    (source,) = work.inputs.values()
    contours = [f"{float(level):g}" for level in work.parameters.get("contours", (50, 90))]
    main([str(source), "-o", str(work.output), "--annotate", "--contour", *contours])
    return {"alt": describe_sky(source)}
