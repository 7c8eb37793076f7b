"""The latest results of the dispatcher's checks beyond the ledger, stored as one settings row per check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gwbatch.ledger import Ledger, Transaction, settings
from gwbatch.reports.finding import Finding, Level

_PREFIX = "check "


def note(tx: Transaction, check: str, found: Iterable[Finding], now: float) -> None:
    """Record what a check found, replacing its previous result; a problem that it found then as well began then."""
    before = {one.key: one.since for one in _findings(settings.get(tx, _PREFIX + check, [])) if one.level > Level.OK}
    rows = [
        [one.level, one.key, one.text, one.remedy, before.get(one.key) or now if one.level > Level.OK else None]
        for one in found
    ]
    settings.put(tx, _PREFIX + check, rows, now)


def newest(ledger: Ledger) -> dict[str, tuple[float, list[Finding]]]:
    """Return for each check when it last ran (Unix s) and all it found, including findings at level OK."""
    found = settings.beginning_with(ledger.connection, _PREFIX)
    return {one.name.removeprefix(_PREFIX): (one.recorded, list(_findings(one.value))) for one in found}


def noted(ledger: Ledger, since: float) -> Iterator[Finding]:
    """Yield the findings of every check that has run since a Unix time (s)."""
    for one in settings.beginning_with(ledger.connection, _PREFIX):
        if one.recorded >= since:
            yield from _findings(one.value)


def _findings(noted: Iterable[Sequence[Any]]) -> Iterator[Finding]:
    for level, key, text, remedy, *since in noted:  # an older version did not record since when
        yield Finding(Level(level), key, text, remedy, since=since[0] if since else None)
