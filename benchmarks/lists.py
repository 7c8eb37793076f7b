"""Time that the console's lists take on a ledger of a million rows: ``python benchmarks/lists.py [ROWS]``.

Prints milliseconds for each list (the fastest of five runs), and the ratio to the floor: reading one row by number.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gwbatch.console.live import overview
from gwbatch.ledger import Ledger
from gwbatch.reports.listings import LISTINGS, Wanted

LETTERS = "abcdefghij"


def fill(ledger: Ledger, rows: int) -> None:
    """Add as many superevents, events, jobs and messages as a hundred observing runs would bring."""
    name = "printf('S%06d', x / 10) || substr('" + LETTERS + "', x % 10 + 1, 1)"
    numbers = f"WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x < {rows - 1})"
    with ledger.transaction() as tx:
        tx.execute(
            f"{numbers} INSERT INTO superevents (key, graceid, category, t_start, t_0, t_end, preferred, labels, "
            f"created, updated) SELECT 'S@G' || x, {name}, 'production', x, x, x, 'G' || x, "
            "CASE x % 100000 WHEN 7 THEN '[\"ADVNO\"]' ELSE '[\"EM_READY\"]' END, x, x FROM n"
        )
        tx.execute(f"{numbers} INSERT INTO events SELECT 'G' || x, 'S@G' || x, 0, '{{\"far\": 1e-9}}', x FROM n")
        tx.execute(
            f"{numbers} INSERT INTO jobs (key, kind, queue, subject, request, state, created, state_since, submitted, "
            "started, finished) SELECT 'G' || x || '/localize', 'localize', 'openmp', 'G' || x, '{}', "
            "CASE x % 100000 WHEN 3 THEN 'FAILED' ELSE 'DONE' END, x, x, x, x + 1, x + 2 FROM n"
        )
        tx.execute(
            f"{numbers} INSERT INTO messages SELECT x + 1, 'igwn', "
            "CASE x % 100000 WHEN 3 THEN 'rare' ELSE 'cbc_gstlal' END, 0, 1, x, '', x'7b7d', x, x FROM n"
        )
        tx.execute(f"{numbers} INSERT INTO decisions SELECT x + 1, x + 1, x, 'S@G' || x, 'create', '{{}}', '' FROM n")
        tx.execute(
            f"{numbers} INSERT INTO deliveries (message_id, lane, state, decided) "
            "SELECT x + 1, 'superevent', 'done', x FROM n"
        )


def least(look: Callable[[], Any]) -> tuple[float, Any]:
    """Return the shortest of five times in ms, and what was found."""
    times, found = [], None
    for _ in range(5):
        begin = time.perf_counter()
        found = look()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times), found


def main() -> None:
    """Fill a ledger and print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite", create=True)
        begin = time.perf_counter()
        fill(ledger, rows)
        print(f"{rows} rows of each kind, filled in {time.perf_counter() - begin:.0f} s")
        asked = [
            ("superevents", Wanted()), ("superevents", Wanted(words="S000012")), ("superevents", Wanted(words="G77")),
            ("superevents", Wanted(words="S")), ("superevents", Wanted(words="nothing")),
            ("superevents", Wanted(label="ADVNO")), ("superevents", Wanted(before=str(rows // 2))),
            ("jobs", Wanted()), ("jobs", Wanted(words="S000012")), ("jobs", Wanted(words="G")),
            ("jobs", Wanted(state="FAILED")), ("jobs", Wanted(state="FAILED", kind="localize")),
            ("jobs", Wanted(state="HELD")), ("jobs", Wanted(before=f"{rows // 2}.0-1")),
            ("messages", Wanted()), ("messages", Wanted(words="rare")), ("messages", Wanted(words="S000012")),
            ("messages", Wanted(words="cbc")), ("deadletters", Wanted()),
        ]  # fmt: skip
        floor, _ = least(lambda: ledger.read("SELECT * FROM superevents WHERE id = 77"))
        print(f"{'list':12} {'asked':44} {'rows':>5} {'ms':>8} {'floors':>8}   (floor {floor:.3f} ms)")
        for name, wanted in asked:
            took, found = least(lambda name=name, wanted=wanted: LISTINGS[name](ledger, wanted))
            said = ", ".join(f"{key}={value}" for key, value in vars(wanted).items() if value and key != "limit")
            print(f"{name:12} {said or 'the newest':44} {len(found.rows):5} {took:8.2f} {took / floor:8.0f}")
        took, _ = least(lambda: overview(ledger, time.time()))
        print(f"{'overview':12} {'':44} {'':5} {took:8.2f} {took / floor:8.0f}")
        ledger.close()


if __name__ == "__main__":
    main()
