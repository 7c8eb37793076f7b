"""The latest results of the dispatcher's checks beyond the ledger, stored as one settings row per check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gwbatch.ledger import Ledger, Transaction, settings
from gwbatch.reports.finding import Finding, Level

_PREFIX = "check "


def note(tx: Transaction, check: str, found: Iterable[Finding], now: float) -> None:
    """Record what a check found, replacing its previous result."""
    settings.put(tx, _PREFIX + check, [[one.level, one.key, one.text, one.remedy] for one in found], now)


def newest(ledger: Ledger) -> dict[str, tuple[float, list[Finding]]]:
    """Return for each check when it last ran (Unix s) and all it found, including findings at level OK."""
    found = settings.beginning_with(ledger.connection, _PREFIX)
    return {one.name.removeprefix(_PREFIX): (one.recorded, list(_findings(one.value))) for one in found}


def noted(ledger: Ledger, since: float) -> Iterator[Finding]:
    """Yield the findings of every check that has run since a Unix time (s)."""
    for one in settings.beginning_with(ledger.connection, _PREFIX):
        if one.recorded >= since:
            yield from _findings(one.value)


def _findings(noted: Iterable[tuple[int, str, str, str]]) -> Iterator[Finding]:
    for level, key, text, remedy in noted:
        yield Finding(Level(level), key, text, remedy)
