"""Start-up time of a job in one run: cold, on a pilot, and as a plain process on a node that is already held.

``tests/clusters/within htcondor python benchmarks/standby.py htcondor [--runs 50] [--json]``, the same with ``slurm``,
or without a cluster ``python benchmarks/standby.py local``. *first* is the first instruction of a job with 1.5 MB of
input, and *core* the entry into BAYESTAR's core for a simulated event, both in seconds since the submission call.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import psutil  # noqa: E402
import stamps  # noqa: E402, F401

from gwbatch.config.profile import load_site  # noqa: E402
from gwbatch.config.resources import example_event  # noqa: E402
from gwbatch.dispatcher import run_once  # noqa: E402
from gwbatch.jobs.standby.layout import Beat  # noqa: E402
from gwbatch.model import JobRequest, JobState  # noqa: E402
from tests.clusters.standby import StandbyBench  # noqa: E402

BYTES_IN = 1_500_000
SETTINGS = [
    f'scheduler.environment.PYTHONPATH="{ROOT}:{ROOT}/benchmarks"',
    'plugins=["stamps"]',
    'standby.openmp.kinds=["stamp", "stamp-core"]',
    "standby.openmp.orphaned_after=36000",
]
SITES = {
    "local": ("local", []),
    "htcondor": ("htcondor-generic", ["scheduler.ask_every=3", "queues.openmp.memory_mb=500"]),
    "slurm": (
        "slurm-generic",
        [
            "scheduler.ask_soonest=0.5",
            "scheduler.ask_every=3",
            "scheduler.result_late=2",
            "queues.general.memory_mb=2000",
        ],
    ),
}


class Measure:
    """Jobs of two kinds, and how long each took to start."""

    def __init__(self, bench: StandbyBench, which: str) -> None:
        self.bench, self.which = bench, which
        self._input = bench.folder / "input"
        self._input.write_bytes(os.urandom(BYTES_IN))

    def request(self, kind: str) -> JobRequest:
        given = {"coinc.xml": example_event("short")} if kind == "stamp-core" else {"input": self._input}
        directory = self.bench.folder / "jobs" / uuid.uuid4().hex[:8]
        return run_once.prepare_job(kind, given, "rest.txt", {}, self.bench.profile, directory)

    def by_scheduler(self, kind: str) -> float:
        request = self.request(kind)
        began = time.time()
        self.bench.scheduler.submit(request)
        self.bench.until(request, JobState.DONE, seconds=400)
        return float(self.bench.facts(request)["core" if kind == "stamp-core" else "first"]) - began

    def by_pilot(self, kind: str) -> float:
        found = self.by_scheduler(kind)
        time.sleep(0.1)
        return found

    def bare(self, pilot: Beat) -> Callable[[str], float]:
        """Return a function that times a plain process on the pilot's node."""
        step = ["srun", f"--jobid={pilot.batch_id}", "--overlap", "-N1", "-n1", "--mem=0", "--input=none"]

        def start(kind: str) -> float:
            request = self.request(kind)
            command = [sys.executable, "-P", "-m", "gwbatch.jobs.runner", str(request.directory)]
            path = f"{ROOT}:{ROOT}/benchmarks"
            began = time.time()
            where = step if self.which == "slurm" else []
            environment = {**os.environ, "PYTHONPATH": path}
            subprocess.run([*where, *command], check=True, env=environment, stdout=subprocess.DEVNULL)
            return float(self.bench.facts(request)["core" if kind == "stamp-core" else "first"]) - began

        return start


def summary(values: list[float]) -> dict[str, float | int]:
    ordered = sorted(values)
    return {
        "p50": ordered[len(ordered) // 2],
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "n": len(ordered),
    }


def both(measure: Callable[[str], float], runs: int) -> dict[str, Any]:
    return {
        "first_instruction": summary([measure("stamp") for _ in range(runs)]),
        "core_entry": summary([measure("stamp-core") for _ in range(runs)]),
    }


@contextmanager
def started(which: str, folder: Path, *, stock: bool = False, nodes: int = 1) -> Iterator[None]:
    """Run the pool or cluster for as long as the block lasts; a `stock` pool has HTCondor's own intervals.

    Slurm alone can have several `nodes`, which share the cores of this machine.
    """
    if which == "local":
        yield
        return
    from tests.clusters.cluster import Cluster
    from tests.clusters.pool import HERE, Pool

    one: Any
    if which == "slurm":
        folder.chmod(0o755)
        one = Cluster(folder / "cluster", nodes, cores=max(1, (os.cpu_count() or 1) // nodes))
    else:
        one = Pool(Path(os.environ["GWBATCH_CONDOR"]), folder / "pool", None if stock else HERE / "fast.conf")
    one.start()
    os.environ.update(one.environment)
    try:
        if which == "htcondor":
            import htcondor2

            htcondor2.reload_config()
        yield
    finally:
        one.stop()


def run(which: str, runs: int, cold_runs: int, folder: Path, *, stock: bool) -> dict[str, Any]:
    site, settings = SITES[which]
    found: dict[str, Any] = {"scheduler": which, "runs": runs}
    with started(which, folder, stock=stock):
        bench = StandbyBench(folder, load_site(site, [*SETTINGS, *settings]).profile)
        measure = Measure(bench, which)
        found["cold"] = both(measure.by_scheduler, cold_runs)
        pilot = bench.pilot(seconds=400)
        time.sleep(1.5)
        found["load_before"] = os.getloadavg()[0]
        found["warm"] = both(measure.by_pilot, runs)
        found["taken_by_pilot"] = len(bench.claims())
        found["bare"] = both(measure.bare(pilot), cold_runs)
        found["load_after"] = os.getloadavg()[0]
        bench.end_pilots()
        bench.scheduler.close()
    return found


def dispatcher_cost(folder: Path, pilots: int, seconds: float = 30.0) -> float:
    """Return the CPU use of an idle dispatcher with `pilots` idle pilots, in per cent of a core."""
    folder.mkdir()
    (folder / "policy.toml").write_text(f"[standby.general]\npilots = {pilots}\n")
    settings = [
        f"--set={text}" for text in ('standby.general.kinds=["fits-header"]', "standby.general.orphaned_after=5")
    ]
    command = [sys.executable, "-m", "gwbatch", "run", "--site=local", "--state", str(folder), *settings]
    dispatcher = subprocess.Popen(
        [*command, "--policy", str(folder / "policy.toml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    process = psutil.Process(dispatcher.pid)
    time.sleep(12)  # until the pilots are ready
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    dispatcher.terminate()
    dispatcher.wait(60)
    return 100 * (after.user + after.system - before.user - before.system) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=sorted(SITES))
    parser.add_argument("--runs", type=int, default=50, help="warm jobs of each kind")
    parser.add_argument("--cold", type=int, default=5, help="cold and bare jobs of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--stock", action="store_true", help="HTCondor: a pool without our tests' shorter intervals")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gwbatch-bench-") as folder:
        found = run(options.which, options.runs, options.cold, Path(folder), stock=options.stock)
        if options.which == "local":
            found["dispatcher_percent"] = {n: dispatcher_cost(Path(folder) / f"idle{n}", n) for n in (0, 2)}
    if options.json:
        print(json.dumps(found))
        return
    print(f"{found['scheduler']}, load {found['load_before']:.1f} to {found['load_after']:.1f}")
    print(f"{'':6s}{'first: p50':>12s}{'p95':>8s}{'n':>5s}{'core: p50':>12s}{'p95':>8s}{'n':>5s}   s")
    for name in ("cold", "warm", "bare"):
        first, core = found[name]["first_instruction"], found[name]["core_entry"]
        print(
            f"{name:6s}{first['p50']:12.3f}{first['p95']:8.3f}{first['n']:5d}"
            f"{core['p50']:12.3f}{core['p95']:8.3f}{core['n']:5d}"
        )
    for pilots, percent in found.get("dispatcher_percent", {}).items():
        print(f"an idle dispatcher with {pilots} idle pilots takes {percent:.2f} % of a core")
    print(f"{found['taken_by_pilot']} of {2 * found['runs']} warm jobs were taken by the pilot")


if __name__ == "__main__":
    main()
