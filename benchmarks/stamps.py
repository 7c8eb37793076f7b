"""A plug-in for `standby.py`: BAYESTAR up to the entry into its core, and a job that only records its start."""

from __future__ import annotations

import time
from typing import Any

from gwbatch.jobs import Work, job
from gwbatch.jobs.localize import localize

PRELOAD = ["gwbatch.jobs.waveforms", "ligo.skymap.bayestar", "ligo.skymap.io.fits", "ligo.skymap.io.events"]


class Reached(Exception):
    """The core was entered."""


@job(queue="openmp", name="stamp")
def stamp(work: Work) -> dict[str, Any]:
    """Record the time of the first instruction."""
    work.output.write_text("here\n")
    return {"first": time.time()}


@job(queue="openmp", name="stamp-core", preload=PRELOAD)
def stamp_core(work: Work) -> dict[str, Any]:
    """Record when BAYESTAR's core is entered, and stop there."""
    first = time.time()
    from ligo.skymap import bayestar

    entered: list[float] = []

    def core(*_: Any, **__: Any) -> None:
        entered.append(time.time())
        raise Reached

    whole, bayestar.core.toa_phoa_snr = bayestar.core.toa_phoa_snr, core
    try:
        localize(work)
    except Reached:
        pass
    finally:
        bayestar.core.toa_phoa_snr = whole
    work.output.write_text("here\n")
    return {"first": first, "core": entered[0]}
