"""Bar charts of the probabilities in ``p_astro.json`` and ``em_bright.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import GRACEID, ByHand, Input
from gwbatch.jobs.catalogue import Work, job

PRELOAD = ["matplotlib.figure", "matplotlib.backends.backend_agg"]


@job(
    queue="general",
    name="plot-p-astro",
    preload=PRELOAD,
    by_hand=ByHand("Draw the probability of each class of source.", (Input("p_astro"),), (GRACEID,)),
)
def plot_p_astro(work: Work) -> dict[str, Any]:
    """Draw the probability of each class of source, terrestrial noise in grey."""
    return _draw(work, "Classification", faded=("Terrestrial",))


@job(
    queue="general",
    name="plot-em-bright",
    preload=PRELOAD,
    by_hand=ByHand("Draw the probabilities of em_bright.json.", (Input("em_bright"),), (GRACEID,)),
)
def plot_em_bright(work: Work) -> dict[str, Any]:
    """Draw the probabilities of a neutron star, of matter left outside, and so on."""
    return _draw(work, "If astrophysical")


def _draw(work: Work, title: str, faded: tuple[str, ...] = ()) -> dict[str, Any]:
    from gwbatch.jobs.charts import describe, plain, probability_bars

    (source,) = work.inputs.values()
    values = read_probabilities(source)
    event = work.parameters.get("graceid")
    probability_bars(
        values, title=f"{title} of {plain(str(event))}" if event else title, output=work.output, faded=faded
    )
    return {"alt": describe(values)}


def read_probabilities(path: Path) -> dict[str, float]:
    """Read probabilities by name from a JSON file.

    Raises
    ------
    BadInput
        When it is not a mapping of names to numbers from 0 to 1.
    """
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"Cannot read {path.name}: it is not JSON ({error}).") from error
    if not isinstance(values, dict) or not values:
        raise BadInput(f"Cannot draw {path.name}: it is not a mapping of names to probabilities.")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BadInput(f"Cannot draw {path.name}: {name} is {value!r}, not a number from 0 to 1.")
    return {str(name): float(value) for name, value in values.items()}
