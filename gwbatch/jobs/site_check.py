"""A short whole-node job that reports what a job finds on its node."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from typing import Any

from gwbatch.errors import GwbatchError
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.em_bright_classifier import ENVIRONMENT, environment_folder, run
from gwbatch.jobs.result import sha256
from gwbatch.jobs.waveforms import has_rom_data


@job(queue="openmp")
def site_check(work: Work) -> dict[str, Any]:
    """Inspect the node and localize a small event (``coinc.xml``); report failures instead of raising them."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "path": os.environ.get("PATH"),
        "rom_data": has_rom_data(os.environ.get("LAL_DATA_PATH", "")),
        "received": {name: sha256(path) for name, path in work.inputs.items()},
    }
    began = time.monotonic()
    try:
        import ligo.skymap.bayestar  # noqa: F401

        facts["import_seconds"] = time.monotonic() - began
        facts["localize_seconds"] = _localize(work)
    except Exception as error:
        facts["trouble"] = f"{type(error).__name__}: {error}"
    if ENVIRONMENT in os.environ:
        facts["em_bright"] = _classifiers()
    work.output.write_text(json.dumps(facts))
    return facts


def _classifiers() -> dict[str, Any]:
    """Classify a known case with ligo.em_bright on this node; return an error instead of raising it."""
    try:
        return run(environment_folder(), "try")
    except GwbatchError as error:
        return {"error": str(error)}


def _localize(work: Work) -> float:
    from gwbatch.jobs.localize import localize

    skymap = work.output.with_suffix(".multiorder.fits")
    began = time.monotonic()
    localize(Work({"coinc.xml": work.inputs["coinc.xml"]}, skymap, {}))
    skymap.unlink()
    return time.monotonic() - began
