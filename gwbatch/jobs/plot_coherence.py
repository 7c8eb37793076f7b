"""The Bayes factor for coherence against incoherence."""

from __future__ import annotations

from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import SKYMAP, ByHand
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.fits_file import open_fits, read_units


@job(
    queue="general",
    preload=["numpy", "matplotlib.figure", "matplotlib.backends.backend_agg"],
    by_hand=ByHand("Draw the Bayes factor for coherence against incoherence.", (SKYMAP,)),
)
def plot_coherence(work: Work) -> dict[str, Any]:
    """Draw the Bayes factor that the map carries in its header (LOGBCI, a natural logarithm)."""
    from gwbatch.jobs.charts import bullet, plain

    (source,) = work.inputs.values()
    with open_fits(source) as stream:
        headers = [unit.header for unit in read_units(stream)]
    header = next((header for header in headers if header.get("LOGBCI") is not None), {})
    value, event = header.get("LOGBCI"), header.get("OBJECT")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"Cannot draw the coherence of {source.name}: its header has no Bayes factor (LOGBCI).")
    of = f" of {plain(str(event))}" if event else ""
    bullet(value, title=rf"Coherence{of} [$\ln\,B = {value:+.1f}$]", symbol="B", output=work.output)
    return {"alt": f"ln B = {value:+.1f} for coherence between the detectors"}
