"""The three-dimensional sky map, projected onto its principal planes."""

from __future__ import annotations

from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy


@job(queue="openmp")
def plot_volume(work: Work) -> None:
    """Draw the probability per volume at ``dpi`` dots per inch (the cost grows with the square)."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_plot_volume import main

    (source,) = work.inputs.values()
    # The tool never applies its own default: an explicit value is always passed.
    main(
        [
            str(source),
            "-o",
            str(work.output),
            "--annotate",
            "--dpi",
            str(int(work.parameters.get("dpi", 100))),
        ]
    )
