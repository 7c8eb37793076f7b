"""Whether a ledger was made from a copy that is older than what it describes."""

from __future__ import annotations

from gwbatch.ledger import settings
from gwbatch.ledger.database import Transaction

ASK_FIRST = 7 * 86400.0  # s after a restore in which every effect may have been done before


def taken_before(tx: Transaction, now: float) -> float | None:
    """Return when the copy was taken (Unix s) that a ledger was made from within the last week; None for others."""
    found = settings.setting(tx, settings.RESTORED)
    return None if found is None or found.recorded <= now - ASK_FIRST else float(found.value["taken"])
