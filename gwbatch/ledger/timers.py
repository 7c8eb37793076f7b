"""Durable timers, which become messages when due, in the transaction that removes or renews them."""

from __future__ import annotations

import json

from gwbatch.ledger import messages
from gwbatch.ledger.database import Transaction, query
from gwbatch.ledger.messages import OwnMessage


def repeat(tx: Transaction, key: str, topic: str, lane: str, interval: float, now: float) -> None:
    """Set a timer that sends an empty message to `lane` every `interval` seconds; a known timer keeps its phase."""
    tx.execute(
        query("repeat_timer"),
        (key, topic, lane, now + interval, interval),
    )


def repeating(tx: Transaction) -> list[str]:
    """Return the keys of the repeating timers."""
    return [row["key"] for row in tx.execute("SELECT key FROM timers WHERE interval IS NOT NULL").fetchall()]


def schedule(tx: Transaction, message: OwnMessage, key: str, due: float, because: int | str | None = None) -> bool:
    """Set a timer that sends an internal message to the lanes of its class once, at `due` (Unix s).

    Returns
    -------
    bool
        False if a timer of that class and key is already set.
    """
    payload = json.dumps({**message.payload(), "because": because})
    values = (key_of(message.topic, key), message.topic, ",".join(message.lanes), payload, due)
    return tx.execute("INSERT OR IGNORE INTO timers VALUES (?, ?, ?, ?, ?, NULL)", values).rowcount == 1


def key_of(topic: str, key: str) -> str:
    """Return the key under which a timer for a message on that topic is stored."""
    return f"{topic}/{key}"


def cancel(tx: Transaction, key: str) -> bool:
    """Cancel a timer, and return whether there was one."""
    return tx.execute("DELETE FROM timers WHERE key = ?", (key,)).rowcount == 1


def fire_due(tx: Transaction, now: float) -> int:
    """Turn every due timer into a message, and return how many; a repeating one fires once for several missed turns."""
    rows = tx.execute("SELECT * FROM timers WHERE due <= ?", (now,)).fetchall()
    for row in rows:
        messages.send(
            tx,
            "timer",
            row["topic"],
            {"timer": row["key"], "due": row["due"], **json.loads(row["payload"])},
            row["lane"].split(","),
            now,
        )
        if row["interval"] is None:
            cancel(tx, row["key"])
        else:
            missed = (now - row["due"]) // row["interval"]
            tx.execute("UPDATE timers SET due = due + ? WHERE key = ?", ((missed + 1) * row["interval"], row["key"]))
    return len(rows)


def next_due(tx: Transaction) -> float | None:
    """Return when the next timer is due."""
    value: float | None = tx.execute("SELECT min(due) FROM timers").fetchone()[0]
    return value
