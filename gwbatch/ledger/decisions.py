"""Decisions: what was decided, about which message, and why."""

from __future__ import annotations

import json

from gwbatch.ledger.database import Transaction, query
from gwbatch.model import Decision


def record(tx: Transaction, decision: Decision, now: float, message_id: int | None) -> None:
    """Store one decision."""
    tx.execute(
        "INSERT INTO decisions (message_id, at, superevent, action, detail, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (message_id, now, decision.superevent, decision.action, json.dumps(decision.detail), decision.reason),
    )


def is_recorded(tx: Transaction, decision: Decision) -> bool:
    """Return whether the same decision about a superevent was recorded before, for the same reason."""
    sql = "SELECT 1 FROM decisions WHERE superevent = ? AND action = ? AND detail = ? AND reason = ?"
    values = (decision.superevent, decision.action, json.dumps(decision.detail), decision.reason)
    return tx.execute(sql, values).fetchone() is not None


def newest(tx: Transaction) -> int:
    """Return the number of the newest decision, 0 before the first."""
    return int(tx.execute("SELECT coalesce(max(id), 0) FROM decisions").fetchone()[0])


def after(tx: Transaction, number: int) -> list[tuple[int | None, Decision]]:
    """Return the decisions with a higher number, in order, each with the id of the message that it is about."""
    rows = tx.execute(query("decisions_after"), (number,)).fetchall()
    return [
        (row["message_id"], Decision(row["action"], row["superevent"], json.loads(row["detail"]), row["reason"]))
        for row in rows
    ]
