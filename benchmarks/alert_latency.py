"""Latency that the public alert chain adds, from map and properties in the ledger to the notice at the broker.

A real dispatcher runs on the loopback sandbox, with instant jobs whose maps are as large as BAYESTAR's. The floor is
the same notices encoded by fastavro and produced to the same broker with the same settings, and nothing else.

    python benchmarks/alert_latency.py [NUMBER OF EVENTS]
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import fastavro
from confluent_kafka import Producer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from gwbatch.alerts.encoding import decode_avro  # noqa: E402
from gwbatch.config.profile import GraceDBSettings  # noqa: E402
from gwbatch.config.resources import example_event  # noqa: E402
from gwbatch.demo.pipelines import Trigger, upload, with_far  # noqa: E402
from gwbatch.demo.processes import DemoProcesses  # noqa: E402
from gwbatch.gracedb import make_client  # noqa: E402
from gwbatch.ledger import Ledger  # noqa: E402
from gwbatch.mdc import shifted  # noqa: E402
from gwbatch.mirror import public_notices  # noqa: E402

# Pictures are normally made on nodes; here they would take the dispatcher's own two cores.
POLICY = """[annotation]
leave_out = ["bayestar.coherence.png", "bayestar.png", "bayestar.html", "bayestar.fits.gz", "bayestar.volume.png",
             "p_astro.png", "em_bright.png"]
[annotation.made_for]
"em_bright.json" = ["cbc"]
"mchirp_source.json" = []
"""
LARGE = "benchmarks.large_maps"
READY = """SELECT max(created) AS at FROM products WHERE subject = ?
    AND name IN ('bayestar.multiorder.fits', 'em_bright.json', 'p_astro.json')"""


def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), events)


def measure(folder: Path, events: int) -> None:
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    broker = 'topic="igwn.gwalert-avro", format="avro", categories=["production"], kafka={"fetch.wait.max.ms"=10}'
    settings = [
        f'plugins=["tests.acceptance.fast_jobs", "{LARGE}"]', f'plugin_folders=["{ROOT}"]', "alerts.mode=all",
        f'alerts.brokers.scimma={{bootstrap="@KAFKA@", {broker}}}',
    ]  # fmt: skip
    with DemoProcesses(folder / "stage", policies=[policy], settings=settings) as stage:
        client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
        ledger = Ledger(stage.state / "ledger.sqlite")
        for number in range(events):
            content = with_far(shifted(example_event("bns_hlv").read_bytes(), 1.2e9 + 1000 * number), 1e-9)
            upload(client, Trigger("gstlal", "bns_hlv", 1e-9), content)
            end = time.monotonic() + 120
            # Before the next event, wait until the work after the notice is done, above all the draft of its circular.
            done = "SELECT 1 FROM public_notices WHERE drafted IS NOT NULL AND kind = 'preliminary'"
            while len(ledger.read(done)) <= number:
                assert time.monotonic() < end, "the notice did not come"
                time.sleep(0.1)
            time.sleep(1.0)
        report(ledger, stage.addresses["kafka"], events)
        ledger.close()


def report(ledger: Ledger, bootstrap: str, events: int) -> None:
    stages: dict[str, list[float]] = {}
    bodies = []
    for row in ledger.read("SELECT * FROM public_notices WHERE kind = 'preliminary'"):
        preferred = json.loads(row["decision"])["preferred"]
        ready = ledger.read(READY, (preferred,))[0]["at"]
        for name, begin, end in (
            ("products to planned", ready, row["planned"]),
            ("planned to frozen", row["planned"], row["frozen"]),
            ("frozen to broker", row["frozen"], row["delivered"]),
            ("products to broker", ready, row["delivered"]),
        ):
            stages.setdefault(name, []).append(end - begin)
        body = public_notices.body(ledger.connection, row["id"], "avro")
        assert body is not None
        bodies.append(body)
    floor = bare(bootstrap, bodies)
    print(f"{events} events, notices of {statistics.median(map(len, bodies)) / 1e3:.0f} kB\n")
    print(f"{'stage':24s} {'median s':>9s} {'largest s':>10s}")
    for name, values in stages.items():
        print(f"{name:24s} {statistics.median(values):9.3f} {max(values):10.3f}")
    print(f"{'bare encode and produce':24s} {statistics.median(floor):9.3f} {max(floor):10.3f}")
    added = statistics.median(stages["products to broker"]) - statistics.median(floor)
    print(f"\nadded by the chain: {added:.3f} s (bar: 0.3 s)")


def bare(bootstrap: str, bodies: list[bytes]) -> list[float]:
    """Return the seconds that it takes to encode and produce each notice, and nothing else."""
    schema = fastavro.parse_schema(
        json.loads(files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.avsc").read_text())
    )
    settings = {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 0}
    producer = Producer({**settings, "message.max.bytes": 4_000_000, "compression.type": "zstd"})
    producer.list_topics("igwn.gwalert-avro", timeout=10)
    taken = []
    for body in [bodies[0], *bodies]:
        record, begin = decode_avro(body), time.monotonic()
        buffer = io.BytesIO()
        fastavro.writer(buffer, schema, [record])
        producer.produce("igwn.gwalert-avro", buffer.getvalue(), key=b"S1", partition=0)
        producer.flush(10)
        taken.append(time.monotonic() - begin)
    return taken[1:]  # without the first one, which also connects


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
