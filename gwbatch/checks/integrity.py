"""The integrity check: whether the ledger's file is sound."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from gwbatch.checks.base import Place, check
from gwbatch.reports.finding import Finding, Level

DAY = 86400.0


@check("integrity", every=DAY, after=3600.0)
def integrity(place: Place) -> Iterator[Finding]:
    """Read every page of the ledger over a read-only connection, which does not block writers."""
    if place.ledger is None or place.ledger.path is None:
        yield Finding(Level.OK, "integrity", "there is no ledger yet")
        return
    path, began = place.ledger.path, time.monotonic()
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)")]
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    if said == ["ok"]:
        size = path.stat().st_size / 1e6
        text = f"{path} is sound ({size:.1f} MB, read in {time.monotonic() - began:.1f} s)"
        yield Finding(Level.OK, "integrity", text)
    else:
        text = f"{path} is damaged: {'; '.join(said)}"
        remedy = "stop the dispatcher, keep the file, and start over from a backup: gwbatch restore"
        yield Finding(Level.CRITICAL, "integrity", text, remedy)
