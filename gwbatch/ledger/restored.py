"""The mark of a ledger that was restored from a backup."""

from __future__ import annotations

from gwbatch.ledger import settings
from gwbatch.ledger.database import Transaction

ASK_FIRST = 7 * 86400.0  # s after a restore during which any effect may already have been executed


def taken_before(tx: Transaction, now: float) -> float | None:
    """Return when the backup was taken (Unix s) from which the ledger was restored in the last week; None otherwise."""
    found = settings.setting(tx, settings.RESTORED)
    return None if found is None or found.recorded <= now - ASK_FIRST else float(found.value["taken"])
