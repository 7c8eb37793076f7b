"""Picture of the overlap integral of two sky maps."""

from __future__ import annotations

import math
from typing import Any

from gwbatch.jobs.by_hand import ByHand, Parameter
from gwbatch.jobs.catalogue import Work, job


@job(
    queue="general",
    by_hand=ByHand(
        "Draw the overlap integral of two sky maps as evidence for a common source.",
        parameters=(Parameter("overlap", "Overlap integral from combine-skymaps.", float, least=0, is_required=True),),
        examples=("plot-overlap --overlap 12.5 -o overlap.png",),
    ),
)
def plot_overlap(work: Work) -> dict[str, Any]:
    """Draw the parameter ``overlap`` on the scale of evidence for a common source."""
    from gwbatch.jobs.charts import bullet

    overlap = float(work.parameters["overlap"])
    logarithm = math.log(overlap) if overlap > 0 else -math.inf
    title = f"Sky map overlap integral: {overlap:.3g}"
    bullet(logarithm, title=title, symbol=r"\mathcal{I}_{\Omega}", output=work.output)
    return {"alt": f"overlap integral {overlap:.3g}"}
