"""The offsets of each listener in its stream, and its heartbeat."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gwbatch.ledger.database import Transaction, query


@dataclass(frozen=True)
class Position:
    """The next offset to read in one partition, within an epoch of its topic."""

    topic: str
    partition: int
    epoch: int
    next_offset: int


def stored(tx: Transaction, listener: str) -> dict[tuple[str, int], Position]:
    """Return all positions of a listener, by topic and partition."""
    rows = tx.execute("SELECT topic, partition, epoch, next_offset FROM offsets WHERE listener = ?", (listener,))
    return {(row["topic"], row["partition"]): Position(**dict(row)) for row in rows.fetchall()}


def await_topics(tx: Transaction, listener: str, topics: Collection[str], now: float) -> None:
    """Record topics that a listener wants but the broker does not have yet."""
    rows = [(listener, topic, now) for topic in sorted(topics)]
    tx.executemany("INSERT OR IGNORE INTO awaited_topics VALUES (?, ?, ?)", rows)


def awaited(tx: Transaction, listener: str) -> set[str]:
    """Return the topics that did not exist when the listener first wanted them."""
    rows = tx.execute("SELECT topic FROM awaited_topics WHERE listener = ?", (listener,)).fetchall()
    return {row["topic"] for row in rows}


def begin_topics(tx: Transaction, listener: str, topics: Collection[str]) -> None:
    """Forget that topics were awaited, because their positions are now stored."""
    rows = [(listener, topic) for topic in topics]
    tx.executemany("DELETE FROM awaited_topics WHERE listener = ? AND topic = ?", rows)


def put(
    tx: Transaction,
    listener: str,
    position: Position,
    now: float,
    *,
    high_watermark: int | None = None,
    gap: int = 0,
) -> None:
    """Store a position; `gap` messages were dropped by the broker before the listener could read them."""
    tx.execute(
        query("put_offset"),
        {
            "listener": listener,
            "topic": position.topic,
            "partition": position.partition,
            "epoch": position.epoch,
            "next_offset": position.next_offset,
            "high_watermark": high_watermark,
            "gap": gap,
            "now": now,
        },
    )


def beat(
    tx: Transaction,
    name: str,
    pid: int,
    started: float,
    now: float,
    *,
    connected: bool,
    last_message: float | None = None,
    note: str | None = None,
) -> None:
    """Record that a listener polls, and whether it is connected."""
    tx.execute(
        query("beat"),
        {
            "name": name,
            "pid": pid,
            "started": started,
            "now": now,
            "connected": int(connected),
            "last_message": last_message,
            "note": note,
        },
    )


def count_restart(tx: Transaction, name: str, now: float) -> None:
    """Count an end of the listener, after which the supervisor restarts it."""
    tx.execute(
        query("count_restart"),
        (name, now, now),
    )


def last_poll(tx: Transaction, name: str) -> float | None:
    """Return when a listener last polled (Unix s); None if it never has."""
    row = tx.execute("SELECT last_poll FROM heartbeats WHERE name = ?", (name,)).fetchone()
    return None if row is None else float(row["last_poll"])
