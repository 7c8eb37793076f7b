"""A plug-in that replaces the computations with almost instant ones, for tests of everything around them.

The maps are real multi-order maps of the lowest resolution. The other products are short texts or the first bytes of
their inputs.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from gwbatch.jobs import Work, job

SECONDS = float(os.environ.get("GWBATCH_TEST_SECONDS", "0.1"))  # that a localization takes
TINY_MAP = Path(__file__).parents[1] / "data" / "tiny.multiorder.fits"


@job(queue="openmp", name="localize")
def localize(work: Work) -> dict[str, Any]:
    assert work.inputs["coinc.xml"].read_bytes().startswith(b"<?xml")
    time.sleep(SECONDS)
    work.output.write_bytes(TINY_MAP.read_bytes())
    return {"has_distances": True, "has_coherence": False}


@job(queue="general", name="external-skymap")
def external_skymap(work: Work) -> dict[str, Any]:
    work.output.write_bytes(TINY_MAP.read_bytes())
    return {}


@job(queue="openmp", name="combine-skymaps")
def combine_skymaps(work: Work) -> dict[str, Any]:
    work.output.write_bytes(work.inputs["superevent.fits"].read_bytes())
    return {"overlap_integral": 1.0, "disjoint": False}


@job(queue="general", name="plot-overlap")
def plot_overlap(work: Work) -> None:
    work.output.write_text(str(work.parameters["overlap"]))


@job(queue="general", name="em-bright")
def em_bright(work: Work) -> None:
    work.output.write_text(json.dumps({"HasNS": float(work.parameters["mass2"] < 2)}))


def _copy(work: Work) -> None:
    (source,) = work.inputs.values()
    work.output.write_bytes(source.read_bytes()[:100])


job(queue="openmp", name="plot-volume")(_copy)
for _name in ("plot-allsky", "flatten", "fits-header", "mchirp-source", "plot-p-astro", "plot-em-bright"):
    job(queue="general", name=_name)(_copy)
