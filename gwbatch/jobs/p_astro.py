"""Source classification: ``p_astro.json`` for events whose pipeline provides none."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import ByHand, Input, Parameter
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.charts import describe
from gwbatch.jobs.template import Template, read_template

MEAN_COUNTS = "H1L1V1-mean_counts-1126051217-61603201.json"
THRESHOLDS = "H1L1V1-pipeline-far_snr-thresholds.json"
LIVETIME = "p_astro_livetime.json"
FAR_STAR = 1 / (30 * 86400.0)  # Hz; the rate at which foreground and background densities are compared
SNR_STAR = 8.5


@job(
    queue="general",
    name="p-astro",
    preload=["ligo.p_astro", "igwn_ligolw.utils"],
    by_hand=ByHand(
        "Source classification of the event in COINC: the probabilities of BNS, NSBH, BBH and Terrestrial.",
        (Input("coinc", "coinc.xml"),),
        (Parameter("pipeline", "Search pipeline: gstlal, pycbc, spiir or mbta.  [default: gstlal]", default="gstlal"),),
        examples=("p-astro coinc.xml --pipeline pycbc -o pycbc.p_astro.json",),
    ),
)
def p_astro(work: Work) -> dict[str, Any]:
    """Write the probabilities of BNS, NSBH, BBH and Terrestrial.

    Parameters of the annotation: ``pipeline``. The template, ``snr``, ``far`` (Hz) and ``instruments`` are read from
    the parameters, or else from ``coinc.xml``.
    """
    template = read_template(work.inputs, work.parameters)
    found = classify(template, str(work.parameters.get("pipeline", "gstlal")).lower())
    work.output.write_text(json.dumps(found))
    return {"method": "p_astro", "note": "computed with the p_astro package", "alt": describe(found)}


def classify(template: Template, pipeline: str) -> dict[str, float]:
    """Compute the probability of each class of source.

    Parameters
    ----------
    template : Template
        With SNR, FAR in Hz and the instruments whose triggers entered the ranking statistic.
    pipeline : str
        In lower case.

    Returns
    -------
    dict
        ``BNS``, ``NSBH``, ``BBH``, ``Terrestrial``; they add up to one.

    Raises
    ------
    BadInput
        When FAR or SNR is missing or not positive, the package has no threshold for the pipeline and instruments, or
        its result is not finite.

    Notes
    -----
    The ratio of foreground and background densities is (3 snr*^3 / snr^4) / (FAR / FAR*), with snr* = 8.5 and
    FAR* = 1 / 30 days (the foreground falls as SNR^-4). The expected number of terrestrial events is the package's
    livetime times FAR*. The package's template weights and mean counts split the probability among the classes.
    """
    import math

    from ligo.p_astro import computation

    if template.far is None or template.snr is None or not (template.far > 0 and template.snr > 0):
        raise BadInput(
            f"Cannot classify the source: FAR {template.far!r} Hz and SNR {template.snr!r} must be positive numbers."
        )
    try:
        snr = computation.choose_snr(template.far, template.snr, pipeline, set(template.instruments), _data(THRESHOLDS))
    except KeyError as error:
        raise BadInput(
            f"Cannot classify the source: the p_astro package has no threshold for {pipeline} with "
            f"{','.join(sorted(template.instruments)) or 'no instruments'}."
        ) from error
    bayes_factor = (3 * SNR_STAR**3 / snr**4) / (template.far / FAR_STAR)
    counts = {**_data(MEAN_COUNTS), "counts_Terrestrial": _data(LIVETIME)["p_astro_livetime"] * FAR_STAR}
    values = computation.evaluate_p_astro_from_bayesfac(bayes_factor, counts, template.mass1, template.mass2)
    found = {str(name): float(value) for name, value in values.items()}
    if not all(math.isfinite(value) for value in found.values()):
        raise BadInput(f"Cannot classify the source: the p_astro package returned {found}.")
    return found


@cache
def _data(name: str) -> Any:
    return json.loads((files("ligo.p_astro") / "data" / name).read_text())
