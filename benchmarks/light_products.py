"""Cost of the products that need no node: ``python benchmarks/light_products.py [--json]``.

Each is measured in three ways: as a whole process from the start of Python, compared with the floor (a Python that
imports only numpy); as the computation alone, in a process that has imported everything; and on a pilot on this machine
(``[standby.general]``), from submission to result. em_bright and p_astro are made at the same time as the sky map, so
only the chirp mass, which needs the map, comes after it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from cost import cost  # noqa: E402

from gwbatch.config.policy import load_policy  # noqa: E402
from gwbatch.config.profile import load_site  # noqa: E402
from gwbatch.config.resources import example_event  # noqa: E402
from gwbatch.dispatcher import run_once  # noqa: E402
from gwbatch.jobs.catalogue import Work, computation  # noqa: E402
from tests.clusters.standby import StandbyBench  # noqa: E402
from tests.skymaps import simulated  # noqa: E402

REPEATS = 5
EVENT = "bns_hlv"
COINC, MAP = example_event(EVENT), simulated(EVENT)
JOBS = {
    "em-bright": {"coinc.xml": COINC},
    "p-astro": {"coinc.xml": COINC},
    "mchirp-source": {"coinc.xml": COINC, MAP.name: MAP},
}


def measure(folder: Path) -> list[dict[str, Any]]:
    """Run each as a process, in this process and on a pilot; return median wall seconds, and ratios to the floor."""
    floor = statistics.median(cost(["-c", "import numpy"]).wall for _ in range(REPEATS))
    by_pilot = with_pilot(folder)
    rows = []
    for job, inputs in JOBS.items():
        output = folder / f"{job}.json"
        command = ["-m", "gwbatch", "job", job, *map(str, inputs.values()), "-o", str(output)]
        cold = [cost(command) for _ in range(REPEATS)]
        work = Work(inputs, output, {**load_policy().annotation.parameters.get(job, {}), "pipeline": "gstlal"})
        computation(job).function(work)  # loads imports and equations of state
        warm = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            computation(job).function(work)
            warm.append(time.perf_counter() - began)
        whole = statistics.median(one.wall for one in cold)
        rows.append(
            {
                "job": job,
                "process_s": whole,
                "over_floor": whole / floor,
                "pilot_s": statistics.median(by_pilot[job]),
                "warm_s": statistics.median(warm),
                "memory_mb": max(one.memory for one in cold),
            }
        )
    return rows


def with_pilot(folder: Path) -> dict[str, list[float]]:
    """Return the wall seconds from submission to result of jobs that a pilot on this machine runs."""
    profile = load_site("local", [f"standby.general.kinds={json.dumps(list(JOBS))}"]).profile
    bench = StandbyBench(folder / "standby", profile)
    bench.pilot()
    found: dict[str, list[float]] = {job: [] for job in JOBS}
    for job, inputs in JOBS.items():
        parameters = {**load_policy().annotation.parameters.get(job, {}), "pipeline": "gstlal"}
        for number in range(REPEATS):
            directory = folder / "standby" / "jobs" / f"{job}-{number}"
            request = run_once.prepare_job(job, inputs, f"{job}.json", parameters, profile, directory)
            began = time.perf_counter()
            bench.scheduler.submit(request)
            while not bench.report(request).state.final:
                time.sleep(0.005)
            found[job].append(time.perf_counter() - began)
    taken = len(bench.claims())
    bench.end_pilots()
    bench.scheduler.close()
    if taken != REPEATS * len(JOBS):
        raise SystemExit(f"only {taken} jobs were taken by the pilot")
    return found


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    if chosen.json:
        print(json.dumps(rows))
        return
    print(f"{'job':14} {'process s':>10} {'over floor':>11} {'pilot s':>8} {'warm s':>8} {'memory MB':>10}")
    for row in rows:
        print(
            f"{row['job']:14} {row['process_s']:10.2f} {row['over_floor']:11.1f} {row['pilot_s']:8.3f} "
            f"{row['warm_s']:8.3f} "
            f"{row['memory_mb']:10.0f}"
        )


if __name__ == "__main__":
    main()
