"""The Bayes factor for coherence against incoherence."""

from __future__ import annotations

from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.science import offline_astropy


@job(queue="general")
def plot_coherence(work: Work) -> None:
    """Draw the Bayes factor that the map carries in its header (LOGBCI)."""
    offline_astropy()
    from ligo.skymap.tool.ligo_skymap_plot_coherence import main

    (source,) = work.inputs.values()
    main([str(source), "-o", str(work.output)])
