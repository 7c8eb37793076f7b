"""Time that ``gwbatch status`` and the console's pages take on a large ledger, compared with an empty one.

10,000 superevents, 20,000 events, 100,000 effects, 60,000 jobs and 1,000,000 messages with their deliveries.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient

from gwbatch.console.access import Access
from gwbatch.console.app import make_app
from gwbatch.ledger import Ledger

RUNS = 15
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
INSERT INTO messages (source, topic, partition, epoch, offset, digest, payload, published, received)
SELECT 'igwn-alert', 'cbc_gstlal', 0, 0, i, 'd' || i, zeroblob(500), :now - 0.6 * (1000000 - i) - 0.1,
       :now - 0.6 * (1000000 - i) FROM n;
INSERT INTO deliveries (message_id, lane, state, decided)
SELECT id, 'superevent', 'done', received + 0.01 FROM messages;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
INSERT INTO superevents (key, graceid, category, t_start, t_0, t_end, preferred, labels, created, updated)
SELECT 'S@G' || i, 'S' || i, 'production', i, i, i, 'G' || i, '["EM_READY"]', :now, :now FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO events (graceid, superevent, position, data, updated)
SELECT 'G' || i, 'S@G' || (1 + i % 10000), i, '{"graceid": "G1", "group": "CBC", "pipeline": "gstlal", "gpstime": 1000,
    "search": "AllSky", "far": 1e-9, "labels": [], "extra_attributes": {}}', :now FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO effects (key, kind, subject, args, state, created, finished)
SELECT 'S@G' || (1 + i % 10000) || '/label/' || i, 'gracedb.label', 'x', '{}', 'done', :now, :now + 0.1 FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO jobs (key, kind, queue, subject, request, state, created, submitted, state_since, started, finished)
SELECT 'G' || i || '/localize', 'localize', 'openmp', 'G' || i, '{"inputs": {}}', 'DONE', :now, :now, :now, :now + 1,
       :now + 5 FROM n;
INSERT INTO decisions (at, superevent, action, detail, reason)
SELECT :now, 'S@G' || (1 + id % 10000), 'label', '{}', 'because' FROM effects;
"""


def fill(state: Path, *, large: bool) -> None:
    ledger = Ledger(state / "ledger.sqlite", create=True)
    with ledger.transaction() as tx:
        for statement in filter(str.strip, FILL.split(";\n")) if large else ():
            tx.execute(statement, {"now": time.time()} if ":now" in statement else {})
    ledger.close()


def median(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def measure(state: Path) -> dict[str, float]:
    client = TestClient(make_app(state / "ledger.sqlite", Access("", "", frozenset())), "http://127.0.0.1")
    found = {"gwbatch status (a process)": median(
        lambda: subprocess.run(
            [sys.executable, "-m", "gwbatch", "status", "--state", str(state)], capture_output=True, check=False
        )
    )}  # fmt: skip
    for name, path in (
        ("overview", "/status.json"),
        ("superevents", "/superevents.json?limit=500"),
        ("one superevent", "/superevent.json?name=S@G77"),
        ("jobs", "/jobs.json?limit=500"),
        ("messages", "/messages.json"),
        ("metrics", "/metrics"),
    ):
        found[name] = median(lambda path=path: client.get(path))  # type: ignore[misc]
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for name in ("empty", "large"):
            state = Path(folder) / name
            fill(state, large=name == "large")
            results[name] = measure(state)
        size = (Path(folder) / "large" / "ledger.sqlite").stat().st_size
    print(f"ledger of {size / 1e9:.2f} GB, median of {RUNS}")
    print(f"{'':28s}{'empty':>10s}{'large':>10s}{'ratio':>8s}")
    for name, floor in results["empty"].items():
        value = results["large"][name]
        print(f"{name:28s}{floor * 1e3:7.1f} ms{value * 1e3:7.1f} ms{value / floor:8.1f}")


if __name__ == "__main__":
    main()
