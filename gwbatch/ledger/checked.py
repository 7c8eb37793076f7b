"""What the dispatcher's checks found when they last looked beyond the ledger: one row of settings for each check."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from gwbatch.ledger.database import Ledger, Transaction
from gwbatch.ledger.finding import Finding, Level

_PREFIX = "check "


def note(tx: Transaction, check: str, found: Iterable[Finding], now: float) -> None:
    """Write down what a check found, in place of what it found before."""
    text = json.dumps([[one.level, one.key, one.text, one.remedy] for one in found])
    tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (_PREFIX + check, text, now))


def newest(ledger: Ledger) -> dict[str, tuple[float, list[Finding]]]:
    """Return for each check when it last looked (Unix s), and what it found, what is well among it."""
    rows = ledger.read("SELECT * FROM settings WHERE name > ? AND name < ?", (_PREFIX, _PREFIX + "\uffff"))
    return {row["name"].removeprefix(_PREFIX): (row["recorded"], list(_findings(row["value"]))) for row in rows}


def noted(ledger: Ledger, since: float) -> Iterator[Finding]:
    """Return what was found since a Unix time (s), check by check."""
    rows = ledger.read(
        "SELECT value FROM settings WHERE name > ? AND name < ? AND recorded >= ? ORDER BY name",
        (_PREFIX, _PREFIX + "\uffff", since),
    )
    for row in rows:
        yield from _findings(row["value"])


def _findings(text: str) -> Iterator[Finding]:
    for level, key, said, remedy in json.loads(text):
        yield Finding(Level(level), key, said, remedy)
