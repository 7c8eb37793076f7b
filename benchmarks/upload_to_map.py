"""Seconds from the upload of an event to its sky map in GraceDB, beside bare BAYESTAR on the same event in one run.

``python benchmarks/upload_to_map.py local``, or on a real scheduler ``tests/clusters/within htcondor python
benchmarks/upload_to_map.py htcondor``, the same with ``slurm``; ``[--events 10] [--json]``.

A real dispatcher with one pilot runs on the loopback sandbox. *Bare* is a process that has imported BAYESTAR, reads the
same file, localizes the event on as many cores and writes the map; it runs after each event while all else is idle.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from standby import SITES, started  # noqa: E402

from gwbatch.config.profile import GraceDBSettings  # noqa: E402
from gwbatch.config.resources import example_event  # noqa: E402
from gwbatch.demo.pipelines import Trigger, upload, with_far  # noqa: E402
from gwbatch.demo.processes import DemoProcesses  # noqa: E402
from gwbatch.gracedb import make_client  # noqa: E402
from gwbatch.ledger import Ledger  # noqa: E402
from gwbatch.mdc import shifted  # noqa: E402
from tests.acceptance.standby_kills import pilot_is_ready  # noqa: E402

MAP = "bayestar.multiorder.fits"
# Everything but the map is left out, so that nothing runs while the next event is localized.
POLICY = f"""[standby.openmp]
pilots = 1
[annotation]
superevent_when = []
[annotation.made_for]
"{MAP}" = ["cbc"]
"mchirp_source.json" = []
[annotation.parameters.localize]
waveform = "IMRPhenomD"
"""
STAGES = ["upload to decision", "decision to offer", "offer to start", "the job", "its end to GraceDB"]


class Bare:
    """A process that localizes files with nothing but BAYESTAR."""

    def __init__(self, cores: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(cores)}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--bare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def seconds(self, coinc: Path) -> float:
        """Return how long the localization of this file takes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{coinc}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def serve_bare() -> None:
    """Localize the files named on standard input, and print the seconds that each took."""
    from ligo.skymap.bayestar import localize
    from ligo.skymap.io import events, fits

    for line in sys.stdin:
        coinc = line.strip()
        began = time.monotonic()
        (event,) = events.ligolw.open(coinc, psd_file=coinc, coinc_def=None).values()
        skymap = localize(event, waveform="IMRPhenomD", f_low=15.0)
        fits.write_sky_map(f"{coinc}.fits", skymap, moc=True)
        print(time.monotonic() - began, flush=True)


def measure(which: str, number: int, folder: Path) -> list[dict[str, float]]:
    (folder / "policy.toml").write_text(POLICY)
    site, settings = SITES[which]
    settings = [*settings, 'standby.openmp.kinds=["localize"]', "standby.openmp.orphaned_after=600"]
    folder.chmod(0o755)  # for Slurm's munged
    (folder / "batch").mkdir()
    found = []
    stage = DemoProcesses(folder / "stage", site=site, policies=[folder / "policy.toml"], settings=settings)
    with started(which, folder / "batch"), stage, closing(Bare(os.cpu_count() or 1)) as bare:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        with closing(Ledger(stage.state / "ledger.sqlite")) as ledger:
            pilot_is_ready(ledger)
            for index in range(number + 1):
                content = with_far(shifted(example_event("short").read_bytes(), 1.2e9 + 1000 * index), 1e-9)
                coinc = folder / f"{index}.xml"
                coinc.write_bytes(content)
                began = time.time()
                graceid = upload(client, Trigger("gstlal", "bns_hlv", 1e-9), content)
                row = stages(ledger, began, map_uploaded(ledger, graceid))
                assert MAP in {entry["filename"] for entry in client.files(graceid).json()["files"]}
                time.sleep(2)
                found.append({**row, "bare": bare.seconds(coinc)})
    return found[1:]  # without the first one, for which the bare process plans its transforms


def stages(ledger: Ledger, began: float, there: float) -> dict[str, float]:
    """Return how long each stage of the newest localization took, from the start of the upload (Unix s) to its end."""
    (job,) = ledger.read("SELECT * FROM jobs WHERE kind = 'localize' ORDER BY created DESC LIMIT 1")
    assert job["native_id"].startswith("standby "), "no pilot took the localization"
    times = [began, job["created"], job["submitted"], job["started"], job["finished"], there]
    return {"whole": there - began} | {
        name: later - earlier for name, earlier, later in zip(STAGES, times, times[1:], strict=False)
    }


def map_uploaded(ledger: Ledger, graceid: str) -> float:
    """Return when the map was in GraceDB (Unix s). To ask GraceDB all the time would slow BAYESTAR down."""
    end = time.monotonic() + 600
    done = "SELECT finished FROM effects WHERE state = 'done' AND key LIKE ? AND kind = 'gracedb.upload'"
    while not (found := ledger.read(done, (f"{graceid}/upload/{MAP}/%",))):
        assert time.monotonic() < end, "the map did not come"
        time.sleep(0.5)
    return float(found[0]["finished"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=sorted(SITES))
    parser.add_argument("--events", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gwbatch-bench-") as folder:
        rows = measure(options.which, options.events, Path(folder))
    if options.json:
        print(json.dumps({"scheduler": options.which, "events": rows}))
        return
    print(f"{options.which}, {options.events} events\n")
    print(f"{'':24s}{'median':>9s}{'largest':>9s}   s")
    for name in ("whole", *STAGES, "bare"):
        values = [row[name] for row in rows]
        print(f"{name:24s}{statistics.median(values):9.2f}{max(values):9.2f}")
    added = [row["whole"] - row["bare"] for row in rows]
    print(f"{'added to bare BAYESTAR':24s}{statistics.median(added):9.2f}{max(added):9.2f}   (bar: 1 s)")


if __name__ == "__main__":
    if sys.argv[1:] == ["--bare"]:
        serve_bare()
    else:
        main()
