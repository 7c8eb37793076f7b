"""What the products cost that need no node: ``python benchmarks/light_products.py [--json]``.

Each as a whole process, from the start of Python, beside the floor: a Python that imports numpy and nothing else. And
the computation alone, as a process that has imported everything would have it. em_bright and p_astro are made while the
sky map is, so only the chirp mass, which needs the map, is later than it.
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
from gwbatch.config.resources import demo_event  # noqa: E402
from gwbatch.jobs.catalogue import Work, computation  # noqa: E402
from tests.skymaps import simulated  # noqa: E402

REPEATS = 5
EVENT = "bns_hlv"
COINC, MAP = demo_event(EVENT), simulated(EVENT)
JOBS = {
    "em-bright": {"coinc.xml": COINC},
    "p-astro": {"coinc.xml": COINC},
    "mchirp-source": {"coinc.xml": COINC, MAP.name: MAP},
}


def measure(folder: Path) -> list[dict[str, Any]]:
    """Run each as a process and in this process; medians of wall seconds, beside the floor of the same run."""
    floor = statistics.median(cost(["-c", "import numpy"]).wall for _ in range(REPEATS))
    rows = []
    for job, inputs in JOBS.items():
        output = folder / f"{job}.json"
        command = ["-m", "gwbatch", "job", job, *map(str, inputs.values()), "-o", str(output)]
        cold = [cost(command) for _ in range(REPEATS)]
        work = Work(inputs, output, {**load_policy().annotation.parameters.get(job, {}), "pipeline": "gstlal"})
        computation(job).function(work)  # imports, and equations of state
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
                "warm_s": statistics.median(warm),
                "memory_mb": max(one.memory for one in cold),
            }
        )
    return rows


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
    print(f"{'job':14} {'process s':>10} {'over floor':>11} {'warm s':>8} {'memory MB':>10}")
    for row in rows:
        print(
            f"{row['job']:14} {row['process_s']:10.2f} {row['over_floor']:11.1f} {row['warm_s']:8.3f} "
            f"{row['memory_mb']:10.0f}"
        )


if __name__ == "__main__":
    main()
