"""A plug-in with computations that take as long as a test wants."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from gwbatch.jobs import Work, job


def _nap(work: Work) -> dict[str, object]:
    began = time.time()
    time.sleep(float(work.parameters["seconds"]))
    work.output.write_text("rested\n")
    return {
        "began": began,
        "ended": time.time(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "home": os.environ["HOME"],
        "host": socket.gethostname(),
        "sees": [one.name for one in Path(work.parameters["look"]).iterdir()] if "look" in work.parameters else None,
    }


def _stubborn(work: Work) -> dict[str, object]:
    """Swallow one exception of any kind, as some libraries do."""
    with suppress(Exception):
        _nap(work)
    return _nap(work)


def _parallel(work: Work) -> dict[str, object]:
    """Use GNU's OpenMP, which hangs if the process that this one was forked from has used it."""
    from tests.clusters.gnu_openmp import threads_at_once

    work.output.write_text("done\n")
    return {"threads": threads_at_once(int(os.environ["OMP_NUM_THREADS"]))}


def _wait(work: Work) -> dict[str, object]:
    while not (work.output.parent / "end").exists():
        time.sleep(0.05)
    work.output.write_text("waited\n")
    return {}


job(queue="openmp", name="wait")(_wait)
job(queue="openmp", name="nap")(_nap)
job(queue="openmp", name="stubborn-nap")(_stubborn)
job(queue="general", name="small-nap")(_nap)
job(queue="openmp", name="parallel", preload=["tests.clusters.gnu_openmp"])(_parallel)
job(queue="general", name="small-parallel", preload=["tests.clusters.gnu_openmp"])(_parallel)
