"""What the dispatcher's checks found when they last looked beyond the ledger: one row of settings for each check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gwbatch.ledger import Ledger, Transaction, settings
from gwbatch.reports.finding import Finding, Level

_PREFIX = "check "


def note(tx: Transaction, check: str, found: Iterable[Finding], now: float) -> None:
    """Write down what a check found, in place of what it found before."""
    settings.put(tx, _PREFIX + check, [[one.level, one.key, one.text, one.remedy] for one in found], now)


def newest(ledger: Ledger) -> dict[str, tuple[float, list[Finding]]]:
    """Return for each check when it last looked (Unix s), and what it found, what is well among it."""
    found = settings.beginning_with(ledger.connection, _PREFIX)
    return {one.name.removeprefix(_PREFIX): (one.recorded, list(_findings(one.value))) for one in found}


def noted(ledger: Ledger, since: float) -> Iterator[Finding]:
    """Return what was found since a Unix time (s), check by check."""
    for one in settings.beginning_with(ledger.connection, _PREFIX):
        if one.recorded >= since:
            yield from _findings(one.value)


def _findings(noted: Iterable[tuple[int, str, str, str]]) -> Iterator[Finding]:
    for level, key, text, remedy in noted:
        yield Finding(Level(level), key, text, remedy)
