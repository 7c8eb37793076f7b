"""Campaign benchmarks: how busy the processes are, what the owner costs, and a table of a million events.

    python benchmarks/campaign.py [sleep] [rows] [bayestar]

``sleep`` runs 1,000 events of 0.05 to 0.5 s on 1 and on 3 MPI ranks with two processes each (``--events 10000`` for
more). ``rows`` plans, inspects and resumes a million rows. ``bayestar`` runs real events with two processes and, in the
same run, with a plain loop of one thread.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from gwbatch import children
from gwbatch.campaigns.dealer import Dealer
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.overview import overview
from gwbatch.campaigns.table import Table, reading
from tests.campaign_products import SLEEP, sleepers

MPIEXEC = Path(sys.executable).parent / "mpiexec"
INJECTIONS = Path(__file__).parents[1] / "tests" / "data" / "injections-short.xml.gz"


def sleep(scratch: Path, events: int) -> None:
    """Run tasks that take no CPU, so all that is missing to 100 % is dealing, waiting and the tail."""
    generator = random.Random(1)
    times = [generator.uniform(0.05, 0.5) for _ in range(events)]
    for ranks in (1, 3):
        folder = sleepers(scratch / f"sleep-{ranks}", times)
        words = [
            str(MPIEXEC),
            "-n",
            str(ranks),
            *children.python("gwbatch", "campaign", "run", str(folder.path), "--mpi"),
        ]
        running = subprocess.Popen([*words, "--set", "campaign.node.processes=2"], stdout=subprocess.DEVNULL)
        owner = owner_of(running.pid)
        cpu = 0.0
        while running.poll() is None:
            try:
                used = owner.cpu_times()
                cpu = used.user + used.system
            except psutil.NoSuchProcess:
                pass
            time.sleep(0.2)
        live = json.loads(folder.status.read_text())
        wall = live["updated"] - live["began"]
        print(
            f"sleep, {events} events, {ranks} ranks × 2 processes: {wall:.1f} s, "
            f"efficiency {sum(times) / (2 * ranks * wall):.1%}, rank 0 {cpu / wall:.1%} of a core"
        )


def owner_of(launcher: int) -> psutil.Process:
    """Return rank 0 of an MPI program as soon as it runs."""
    while True:
        for process in psutil.Process(launcher).children(recursive=True):
            try:
                if process.environ().get("PMI_RANK") == "0" and "--mpi" in process.cmdline():
                    return process
            except psutil.Error:
                continue
        time.sleep(0.05)


def rows(scratch: Path) -> None:
    """Measure what it costs to plan, inspect and deal a million events."""
    began = time.perf_counter()
    folder = sleepers(scratch / "rows", (1.0 + number % 40 for number in range(1_000_000)))
    print(f"rows, plan of 1,000,000: {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    overview(folder)
    print(f"rows, status: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    table = Table(folder.table, 1)
    table.interrupted()
    dealer = Dealer(table, [SLEEP])
    dealer.join("n", 48)
    assert dealer.take("n") is not None
    print(f"rows, from the start to the first deal: {time.perf_counter() - began:.2f} s")
    table.connection.execute(
        "UPDATE events SET state = 'done', cpu = 20, wall = 20, finished = 1, facts = json_object('map', ?) "
        "WHERE id < 900000",
        ("x" * 600,),
    )
    began = time.perf_counter()
    overview(folder)
    print(f"rows, status with 900,000 done: {time.perf_counter() - began:.2f} s")
    print(f"rows, peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def bayestar(scratch: Path) -> None:
    """Compare CPU and wall time of two single-threaded processes with those of a plain single-threaded loop."""
    copies = []
    for number in range(3):
        copies.append(scratch / f"{number}.xml.gz")
        copies[-1].write_bytes(INJECTIONS.read_bytes())
    folder = Folder(scratch / "bayestar")
    campaign = children.python("gwbatch", "campaign")
    subprocess.run(
        [*campaign, "plan", *map(str, copies), "-o", str(folder.path)], check=True, stdout=subprocess.DEVNULL
    )
    began = time.perf_counter()
    words = [*campaign, "run", str(folder.path), "--set", "campaign.node.processes=2"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    with reading(folder.table) as connection:
        (cpu, longest) = connection.execute("SELECT sum(cpu), max(wall) FROM events").fetchone()
    loop = (
        "import sys, time; sys.modules['mpi4py'] = None\n"
        "from lalinspiral.thinca import InspiralCoincDef\n"
        "from ligo.skymap.bayestar import localize\n"
        "from ligo.skymap.io import events\n"
        "import time; cpu, began = time.process_time(), time.perf_counter()\n"
        "for path in sys.argv[1:]:\n"
        "    found = events.ligolw.open(path, psd_file=path, coinc_def=InspiralCoincDef)\n"
        "    for event in found.values(): localize(event, waveform='IMRPhenomD', f_low=15.0)\n"
        "print(time.process_time() - cpu, time.perf_counter() - began)\n"
    )
    bare = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", loop, *map(str, copies)], check=True, capture_output=True, text=True,
        env=children.environment({"OMP_NUM_THREADS": "1"}),
    )  # fmt: skip
    bare_cpu, bare_wall = map(float, bare.stdout.split())
    print(f"bayestar, 6 events: CPU {cpu / bare_cpu:.3f} of a plain loop with one thread")
    print(
        f"bayestar, 6 events, two processes: wall {wall:.1f} s; half of the loop's is {bare_wall / 2:.1f} s, and the "
        f"longest event took {longest:.1f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["sleep", "rows", "bayestar"])
    parser.add_argument("--events", type=int, default=1000, help="number of events for sleep")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "sleep" in chosen.what:
            sleep(Path(folder), chosen.events)
        if "rows" in chosen.what:
            rows(Path(folder))
        if "bayestar" in chosen.what:
            bayestar(Path(folder))
