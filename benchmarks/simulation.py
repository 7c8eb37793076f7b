"""What ``gwbatch simulate`` predicts beside what a real pool did, on the same events in one run.

``tests/clusters/within htcondor python benchmarks/simulation.py htcondor [--minutes 60] [--keep LEDGERS]``, the same
with ``slurm`` (and ``--nodes 2``), or ``local``.

A real dispatcher receives events at random times, and real BAYESTAR runs on the whole nodes.  The first half of the
run gives the durations.  From them and from what was received in the second half, simulations with several seeds
predict the second half; how soon its jobs started and how long they took, they do not know.  The second half begins
when nothing is left to do.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import msgspec  # noqa: E402
from standby import SITES, started  # noqa: E402

from gwbatch.config.policy import load_policy  # noqa: E402
from gwbatch.config.profile import GraceDBSettings, load_site  # noqa: E402
from gwbatch.demo import pipelines  # noqa: E402
from gwbatch.demo.processes import DemoProcesses  # noqa: E402
from gwbatch.gracedb import make_client  # noqa: E402
from gwbatch.ledger import Ledger  # noqa: E402
from gwbatch.ledger.backup import back_up  # noqa: E402
from gwbatch.mdc import EVENTS  # noqa: E402
from gwbatch.reports.milestones import MILESTONES  # noqa: E402
from gwbatch.simulation.measured import calibrated  # noqa: E402
from gwbatch.simulation.outcome import Outcome, recorded_outcome, simulate  # noqa: E402
from gwbatch.simulation.recorded import Recording, read_recording  # noqa: E402
from gwbatch.simulation.scenario import Pool, Scenario, Stream  # noqa: E402
from gwbatch.simulation.stream import Upload, arrivals  # noqa: E402

DRAINED = 900.0  # s after an upload within which its results must be complete
TO_DO = """SELECT (SELECT count(*) FROM jobs WHERE state NOT IN ('DONE', 'FAILED', 'CANCELLED'))
                + (SELECT count(*) FROM effects WHERE state IN ('ready', 'running')) AS n"""


def record(which: str, nodes: int, minutes: float, every: float, folder: Path) -> tuple[Path, Path, float]:
    """Run a dispatcher; return its ledger's copy of the first half and of all, and when the second half began."""
    folder.chmod(0o755)  # for Slurm's munged
    (folder / "batch").mkdir()
    chance = random.Random("when they arrive")
    streams = {}
    for name in EVENTS:
        uploads = chance.choice([["gstlal"], ["gstlal", "MBTA"]])
        streams[name] = Stream(every=len(EVENTS) * every, pipelines=uploads, event=name, late=20.0)
    site, settings = SITES[which]
    stage = DemoProcesses(folder / "stage", site=site, settings=settings)
    first, whole = folder / "first.sqlite", folder / "whole.sqlite"
    with started(which, folder / "batch", nodes=nodes), stage, closing(Ledger(stage.state / "ledger.sqlite")) as ledger:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        begin = time.time()
        middle, late = begin + 30.0 * minutes, 0.0
        coming = arrivals(Scenario(duration=60.0 * minutes, streams=streams), begin)
        for one in coming:
            if one.at > middle and not first.exists():
                time.sleep(max(0.0, middle - time.time()))
                drain(ledger)
                back_up(ledger, first, time.time())
                late = max(0.0, time.time() - middle)
            time.sleep(max(0.0, one.at + late - time.time()))
            assert isinstance(one, Upload)
            pipelines.upload(client, one.trigger, one.content)
            print(f"{time.time() - begin:6.0f} s: {one.trigger.pipeline} {one.trigger.event}", file=sys.stderr)
        if not first.exists():
            sys.exit("Nothing arrived in the second half: increase --minutes.")
        drain(ledger)
        back_up(ledger, whole, time.time())
    return first, whole, middle + late


def drain(ledger: Ledger) -> None:
    """Wait until nothing is left to do, because a simulation begins with an empty queue."""
    end = time.monotonic() + DRAINED
    time.sleep(30)
    while ledger.read(TO_DO)[0]["n"] and time.monotonic() < end:
        time.sleep(5)


def predict(which: str, nodes: int, first: Path, recording: Recording, seeds: int, folder: Path) -> list[Outcome]:
    """Simulate a recording with the durations of another ledger, once for each seed."""
    wanted = Scenario(
        duration=recording.end - recording.begin, pool=Pool(nodes=nodes, slots=0 if which == "slurm" else Pool().slots)
    )
    with closing(Ledger(first)) as ledger:
        wanted = calibrated(wanted, ledger)
    policy, profile = load_policy(), load_site(*SITES[which]).profile
    return [
        simulate(msgspec.structs.replace(wanted, seed=seed), policy, profile, folder / f"seed{seed}", recording.begin,
                 recording.arrivals)
        for seed in range(seeds)
    ]  # fmt: skip


def quantities() -> Iterator[tuple[str, Callable[[Outcome], dict[str, float] | None]]]:
    """Yield the name of each compared quantity, and the function that takes its quantiles from an outcome."""
    yield "decision to map", attrgetter("decision_to_map")
    yield "waiting for a node", attrgetter("waited")
    for milestone, label in MILESTONES.items():
        yield f"alert to: {label}", lambda one, milestone=milestone: one.milestones.get(milestone)


def compare(
    which: str, nodes: int, first: Path, whole: Path, middle: float, seeds: int, folder: Path
) -> dict[str, Any]:
    with closing(Ledger(whole)) as ledger:
        recording = read_recording(ledger, middle)
        real = recorded_outcome(ledger, recording, [])
    predicted = predict(which, nodes, first, recording, seeds, folder)
    rows = {}
    for label, get in quantities():
        measured, simulated = get(real), [row["p50"] for row in map(get, predicted) if row]
        if measured and simulated:
            rows[label] = {"measured": measured["p50"], "n": measured["count"], "predicted": simulated}
    counts = {"superevents": real.superevents, "events": real.events, "dead": real.dead}
    return {"scheduler": which, "nodes": nodes, **counts, "medians": rows, "real": msgspec.to_builtins(real)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=sorted(SITES))
    parser.add_argument("--nodes", type=int, default=1, help="nodes of the cluster; more than one with slurm only")
    parser.add_argument("--minutes", type=float, default=60, help="how long events arrive")
    parser.add_argument("--every", type=float, default=120, help="mean s between events")
    parser.add_argument("--seeds", type=int, default=5, help="number of simulations")
    parser.add_argument("--keep", type=Path, help="keep the ledgers in this new folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.nodes > 1 and options.which != "slurm":
        parser.error("only slurm can have several nodes")
    with tempfile.TemporaryDirectory(prefix="gwbatch-bench-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(exist_ok=not options.keep)
        first, whole, middle = record(options.which, options.nodes, options.minutes, options.every, folder)
        (folder / "simulated").mkdir()
        found = compare(options.which, options.nodes, first, whole, middle, options.seeds, folder / "simulated")
    if options.json:
        print(json.dumps(found))
        return
    where = f"{found['scheduler']}, nodes {found['nodes']}"
    print(f"{where}: {found['superevents']} superevents, {found['events']} events in the second half\n")
    print(f"{'medians':36s}{'n':>4s}{'measured':>10s}{'predicted':>11s}{'range':>16s}{'ratio':>8s}")
    for label, row in found["medians"].items():
        middle_one = statistics.median(row["predicted"])
        span = f"{min(row['predicted']):.1f}-{max(row['predicted']):.1f}"
        ratio = middle_one / row["measured"] if row["measured"] else float("nan")
        print(f"{label:36s}{row['n']:4.0f}{row['measured']:10.1f}{middle_one:11.1f}{span:>16s}{ratio:8.2f}")


if __name__ == "__main__":
    main()
