"""Whether a ledger was made from a copy that is older than what it describes."""

from __future__ import annotations

import json

from gwbatch.ledger.database import Transaction

RESTORED = "restored"  # the setting: when the copy was taken
ASK_FIRST = 7 * 86400.0  # s after a restore in which every effect may have been done before


def taken_before(tx: Transaction, now: float) -> float | None:
    """Return when the copy was taken (Unix s) that a ledger was made from within the last week; None for others."""
    row = tx.execute(
        "SELECT value FROM settings WHERE name = ? AND recorded > ?", (RESTORED, now - ASK_FIRST)
    ).fetchone()
    return None if row is None else float(json.loads(row["value"])["taken"])
