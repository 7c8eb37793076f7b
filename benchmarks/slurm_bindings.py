"""Time of queries and submissions to a real slurmctld, by command and by pyslurm, in one run.

``tests/clusters/within slurm python benchmarks/slurm_bindings.py [JOBS]`` starts a cluster on this machine and fills
its queue. Set ``PYSLURM_SOURCE`` to build the real pyslurm first. Without pyslurm only the commands are measured.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gwbatch.errors import ConfigError
from gwbatch.schedulers.slurm.controller import Controller, open_controller
from tests.clusters.cluster import Cluster

RUNS = 40
SCRIPT = "#!/bin/sh\n#SBATCH --hold\n#SBATCH --comment=gwbatch:{key}\n#SBATCH --output=/dev/null\nsleep 1\n"


def median(call: Callable[[], object]) -> float:
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measure(controller: Controller, job: str) -> dict[str, float]:
    environment = dict(os.environ)
    return {
        "all jobs": median(controller.jobs),
        "one job": median(lambda: controller.job(job)),
        "submit": median(lambda: controller.submit(SCRIPT.format(key="bench"), environment)),
    }


def main(jobs: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="gwbatch-slurm-"))
    folder.chmod(0o755)
    cluster = Cluster(folder)
    cluster.start()
    os.environ.update(cluster.environment)
    sys.path.append(os.environ.get("GWBATCH_PYSLURM", ""))
    try:
        commands = open_controller("cli", 20.0)
        numbers = [commands.submit(SCRIPT.format(key=number), dict(os.environ)) for number in range(jobs)]
        rows = {"commands": measure(commands, numbers[0])}
        try:
            rows["pyslurm"] = measure(open_controller("pyslurm", 20.0), numbers[0])
        except ConfigError as error:
            print(error)
        print(f"{jobs} jobs in the queue; median of {RUNS}, ms, and as a ratio to the commands")
        print(f"{'':10s}" + "".join(f"{what:>20s}" for what in rows["commands"]))
        for name, row in rows.items():
            cells = (f"{1000 * row[what]:.1f} ({row[what] / rows['commands'][what]:.2f})" for what in row)
            print(f"{name:10s}" + "".join(f"{cell:>20s}" for cell in cells))
    finally:
        cluster.command("scancel", "--state=PENDING", f"--user={os.environ.get('USER', 'root')}")
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
