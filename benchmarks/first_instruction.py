"""Time from the decision to the job's first instruction, compared with a bare submission on the same cluster.

``tests/clusters/within htcondor python benchmarks/first_instruction.py htcondor [RUNS]`` and the same with ``slurm``
start a real pool or cluster on this machine. Most of the time is a random wait for a negotiation or scheduling cycle,
so runs of the two alternate. What gwbatch itself adds is the difference between the two in *handed over*.
"""

from __future__ import annotations

import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import os

import msgspec

from gwbatch.config.policy import load_policy
from gwbatch.config.profile import load_site
from gwbatch.dispatcher.service import Dispatcher
from gwbatch.ledger import Ledger, effects, jobs
from gwbatch.orchestrator import load_handlers
from gwbatch.schedulers import make_scheduler
from tests.clusters.cluster import Cluster
from tests.clusters.pool import HERE, Pool

# Replaces the interpreter, and records when it was started.
CLOCK = """#!/bin/bash
date +%s.%N > first
"""


class Subject:
    """A dispatcher on the cluster, and bare submissions of the same jobs."""

    def __init__(self, folder: Path, site: str, bare: Sequence[str], settings: Sequence[str] = ()) -> None:
        self.folder, self.bare = folder, bare
        clock = folder / "clock"
        clock.write_text(CLOCK)
        clock.chmod(0o755)
        chosen = [f"scheduler.python={clock}", "queues.openmp.memory_mb=500", "queues.openmp.disk_mb=10", *settings]
        self.profile = load_site(site, chosen).profile
        self.ledger = Ledger(folder / "state" / "ledger.sqlite", create=True)
        policy = load_policy()
        annotation = msgspec.structs.replace(policy.annotation, max_attempts=1)  # the clock makes no result
        policy = msgspec.structs.replace(policy, annotation=annotation)
        self.dispatcher = Dispatcher(
            self.ledger, load_handlers(policy, self.profile), policy, self.profile,
            lambda: make_scheduler(self.profile, folder / "state"), folder / "state", {},
        )  # fmt: skip
        self.thread = threading.Thread(target=self.dispatcher.run)
        self.thread.start()
        time.sleep(2)

    def decided(self) -> tuple[float, float]:
        """Return the seconds from a decision until the job is in the queue, and until its first instruction."""
        key = f"B{uuid.uuid4().hex[:8]}/site-check"
        began = time.time()
        with self.ledger.transaction() as tx:
            request = {"inputs": {}, "outputs": ["report.json"], "parameters": {}, "product": "none", "version": "0"}
            effect = jobs.plan(tx, key, "site-check", "openmp", key.partition("/")[0], request, 0, began)
            assert effect is not None
            effects.request(tx, effect, began)
        first = self._first(self.folder / "state" / "jobs" / key / "1")
        (row,) = self.ledger.read("SELECT submitted, native_id FROM jobs WHERE key = ?", (key,))
        return row["submitted"] - began, first - began

    def submitted(self) -> tuple[float, float]:
        """Return the same for a bare submission."""
        from gwbatch.dispatcher import run_once

        directory = self.folder / "bare" / uuid.uuid4().hex[:8]
        request = run_once.prepare_job("site-check", {}, "report.json", {}, self.profile, directory)
        text = self.dispatcher.scheduler.describe(request)
        began = time.time()
        subprocess.run(self.bare, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
        handed = time.time()
        return handed - began, self._first(directory) - began

    def _first(self, directory: Path) -> float:
        path, end = directory / "first", time.monotonic() + 400
        while not (path.exists() and path.read_text().endswith("\n")):
            if time.monotonic() > end:
                raise SystemExit(f"no first instruction in {directory}")
            time.sleep(0.01)
        time.sleep(random.uniform(1.0, 2.5))  # frees the node, and makes the phase of the cycles random
        return float(path.read_text())

    def close(self) -> None:
        self.dispatcher.stop()
        self.thread.join()
        self.ledger.close()


def table(title: str, subject: Subject, runs: int) -> None:
    """Measure both in turn, and print the results."""
    kinds: dict[str, tuple[Callable[[], tuple[float, float]], list[tuple[float, float]]]] = {
        "gwbatch": (subject.decided, []),
        "bare": (subject.submitted, []),
    }
    subject.submitted()
    for _ in range(runs):
        for measure, times in kinds.values():
            times.append(measure())
    print(f"\n{title}, {runs} runs each")
    print(
        f"{'':10s}{'handed over: median':>22s}{'max':>8s}{'first instruction: median':>28s}{'mean':>8s}{'max':>8s}  s"
    )
    for name, (_, times) in kinds.items():
        handed, first = zip(*times, strict=True)
        print(
            f"{name:10s}{statistics.median(handed):22.3f}{max(handed):8.3f}"
            f"{statistics.median(first):28.2f}{statistics.mean(first):8.2f}{max(first):8.2f}",
            flush=True,
        )
    ours, floor = (statistics.median(one[0] for one in times) for _, times in kinds.values())
    whole = statistics.median(one[1] for one in kinds["bare"][1])
    print(f"gwbatch adds {ours - floor:+.3f} s to the submission, {100 * (ours - floor) / whole:+.1f} % of the whole")


def htcondor(runs: int, folder: Path) -> None:
    for title, extra, count in (
        ("HTCondor, tuned", HERE / "fast.conf", runs),
        ("HTCondor, stock", None, max(3, runs // 4)),
    ):
        place = folder / title.rpartition(" ")[2]
        pool = Pool(Path(os.environ["GWBATCH_CONDOR"]), place / "pool", extra)
        pool.start()
        os.environ.update(pool.environment)
        try:
            import htcondor2

            htcondor2.reload_config()
            subject = Subject(place, "htcondor-generic", ["condor_submit", "-"])
            table(title, subject, count)
            subject.close()
        finally:
            pool.stop()


def slurm(runs: int, folder: Path) -> None:
    folder.chmod(0o755)
    cluster = Cluster(folder / "cluster", nodes=1)
    cluster.start()
    os.environ.update(cluster.environment)
    try:
        subject = Subject(folder, "slurm-generic", ["sbatch", "--parsable"])
        table("Slurm", subject, runs)
        subject.close()
        traffic(cluster, folder)
    finally:
        cluster.clear()
        cluster.stop()


def traffic(cluster: Cluster, folder: Path, waiting: int = 1000, seconds: float = 30.0) -> None:
    """Measure how often slurmctld is asked about many queued jobs, by its own count."""
    from gwbatch.dispatcher import run_once

    profile = load_site("slurm-generic", ["scheduler.ask_every=5", "scheduler.ask_soonest=5"]).profile
    scheduler = make_scheduler(profile, folder / "traffic")
    request = run_once.prepare_job("site-check", {}, "report.json", {}, profile, folder / "traffic" / "job")
    text = scheduler.describe(request)
    for number in range(waiting):
        script = text.replace(request.key, f"T{number}/site-check/1").replace(
            "#SBATCH --nodes=1", "#SBATCH --nodes=1 --hold"
        )
        subprocess.run(["sbatch", "--parsable"], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    keys = [f"T{number}/site-check/1" for number in range(waiting)]
    before, began = _asked(cluster), time.monotonic()
    while time.monotonic() - began < seconds:
        reports = scheduler.poll(keys)
        time.sleep(0.05)
    after = _asked(cluster)
    known = sum(report.native_id != "" for report in reports.values())
    print(
        f"\n{known} queued jobs followed for {seconds:g} s with an interval of 5 s: "
        f"slurmctld was asked {after - before} times (at most {int(seconds / 5) + 1})"
    )


def _asked(cluster: Cluster) -> int:
    counts = re.findall(r"REQUEST_JOB_INFO\w*\s+\(\s*\d+\)\s+count:(\d+)", cluster.command("sdiag"))
    return sum(int(count) for count in counts)


def main() -> None:
    which, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory(prefix="gwbatch-bench-") as folder:
        {"htcondor": htcondor, "slurm": slurm}[which](runs, Path(folder))
    print(json.dumps({"runs": runs, "machine": os.uname().machine, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main()
