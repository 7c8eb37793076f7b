"""The overlap integral of two sky maps as a picture."""

from __future__ import annotations

import math

from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy


@job(queue="general")
def plot_overlap(work: Work) -> None:
    """Draw the ``overlap`` of the parameters as the evidence for one source that it is."""
    offline_astropy()
    from ligo.skymap.plot.bayes_factor import plot_bayes_factor

    overlap = float(work.parameters["overlap"])
    figure, _ = plot_bayes_factor(
        math.log(overlap), title=f"Sky map overlap integral: {overlap:.3g}", var_label=r"\mathcal{I}_{\Omega}"
    )
    figure.savefig(work.output, format="png")
