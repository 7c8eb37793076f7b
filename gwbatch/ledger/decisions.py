"""What was decided, about which message, and why."""

from __future__ import annotations

import json

from gwbatch.ledger.database import Transaction
from gwbatch.model import Decision


def record(tx: Transaction, decision: Decision, now: float, message_id: int | None) -> None:
    """Write one decision down."""
    tx.execute(
        "INSERT INTO decisions (message_id, at, superevent, action, detail, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (message_id, now, decision.superevent, decision.action, json.dumps(decision.detail), decision.reason),
    )


def is_recorded(tx: Transaction, decision: Decision) -> bool:
    """Whether the same was decided about a superevent before, for the same reason."""
    sql = "SELECT 1 FROM decisions WHERE superevent = ? AND action = ? AND detail = ? AND reason = ?"
    values = (decision.superevent, decision.action, json.dumps(decision.detail), decision.reason)
    return tx.execute(sql, values).fetchone() is not None
