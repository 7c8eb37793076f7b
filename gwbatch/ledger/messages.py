"""Messages, their deliveries to lanes, and dead letters."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from gwbatch.ledger.database import Transaction, query

KEPT_OF_OVERSIZE = 4096
"""Bytes of a refused, oversized payload that are kept for inspection."""


MEMORY = 16 * 2**20
"""Bytes of payloads that a batch of deliveries may hold."""


@dataclass(frozen=True)
class Incoming:
    """A message as a listener received it, before it is in the ledger."""

    source: str
    topic: str
    partition: int
    offset: int
    payload: bytes
    published: float | None = None
    epoch: int = 0


@dataclass(frozen=True)
class Delivery:
    """A message for one lane."""

    id: int
    message_id: int
    attempts: int
    crashes: int
    source: str
    topic: str
    digest: str
    payload: bytes
    received: float


def digest(payload: bytes) -> str:
    """Return the SHA-256 of a payload, which identifies its content."""
    return hashlib.sha256(payload).hexdigest()


def receive(
    tx: Transaction, message: Incoming, lanes: Iterable[str], now: float, *, refused: str | None = None
) -> int | None:
    """Store a message for `lanes`, and return its id; None if this place in the stream is already known.

    With `refused`, a reason, the message is a dead letter from the start and only the start of its payload is kept.
    """
    try:
        row = tx.execute(
            query("receive_message"),
            (
                message.source,
                message.topic,
                message.partition,
                message.epoch,
                message.offset,
                digest(message.payload),
                message.payload if refused is None else message.payload[:KEPT_OF_OVERSIZE],
                message.published,
                now,
            ),
        ).fetchone()
    except sqlite3.IntegrityError:
        return None
    message_id = int(row["id"])
    for lane in lanes:
        tx.execute(
            "INSERT INTO deliveries (message_id, lane, state, reason, decided) VALUES (?, ?, ?, ?, ?)",
            (
                message_id,
                lane,
                "new" if refused is None else "dead",
                refused,
                None if refused is None else now,
            ),
        )
    return message_id


def digest_at(tx: Transaction, source: str, topic: str, partition: int, epoch: int, offset: int) -> str | None:
    """Return the digest of the message at one place in a stream, if it is still remembered."""
    row = tx.execute(
        query("digest_at"),
        (source, topic, partition, epoch, offset),
    ).fetchone()
    return None if row is None else str(row["digest"])


def next_offset(tx: Transaction, source: str, topic: str) -> int:
    """Return the next free offset in a stream that we number ourselves."""
    return int(tx.execute(query("next_offset"), {"source": source, "topic": topic}).fetchone()[0])


def send(tx: Transaction, source: str, topic: str, payload: dict[str, Any], lanes: Iterable[str], now: float) -> int:
    """Store an internal message (a timer that fired, a job that ended), and return its id."""
    offset = next_offset(tx, source, topic)
    # Handlers see each content only once, so two ends of one job, for example, must differ.
    unique = {**payload, "sent": now, "number": offset}
    message = Incoming(source, topic, 0, offset, json.dumps(unique).encode(), now)
    message_id = receive(tx, message, lanes, now)
    assert message_id is not None  # the offset is new by construction
    return message_id


class OwnMessage(Protocol):
    """An internal message, as `gwbatch.handlers.messages` declares it."""

    @property
    def topic(self) -> str:
        """The topic by which handlers select it."""
        ...

    @property
    def lanes(self) -> tuple[str, ...]:
        """The lanes that receive it."""
        ...

    @property
    def source(self) -> str:
        """The source to store in the table."""
        ...

    def payload(self) -> dict[str, Any]:
        """Return the message's fields, JSON-ready."""
        ...


def send_message(tx: Transaction, message: OwnMessage, now: float, because: int | str | None = None) -> int:
    """Store an internal message for the lanes of its class, and return its id.

    Parameters
    ----------
    now : float
        Unix time in seconds.
    because : int or str or None
        The message or effect that caused it.
    """
    payload = {**message.payload(), "because": because}
    return send(tx, message.source, message.topic, payload, message.lanes, now)


def next_deliveries(
    tx: Transaction, lane: str, now: float, limit: int = 1, skip: Collection[int] = ()
) -> list[Delivery]:
    """Return the oldest deliveries of `lane` that may be handled now, up to about `MEMORY` bytes in total."""
    sizes = tx.execute(query("next_deliveries"), {"lane": lane, "now": now, "limit": limit + len(skip)}).fetchall()
    total = 0
    found: list[Delivery] = []
    for row in (row for row in sizes if row["id"] not in skip):
        if len(found) == limit:
            break
        if total > MEMORY:
            break
        total += row["size"]
        found.append(Delivery(**dict(tx.execute(query("load_delivery"), (row["id"],)).fetchone())))
    return found


def waiting_lanes(tx: Transaction) -> set[str]:
    """Return the lanes with messages that nobody has settled yet, due or postponed."""
    return {row["lane"] for row in tx.execute("SELECT DISTINCT lane FROM deliveries WHERE state = 'new'").fetchall()}


def digest_of(tx: Transaction, message_id: int | None) -> str:
    """Return the digest of a message's content; empty for none."""
    row = tx.execute("SELECT digest FROM messages WHERE id = ?", (message_id,)).fetchone()
    return "" if row is None else str(row["digest"])


def published(tx: Transaction, message_id: int | None) -> float | None:
    """Return when a message was published (Unix s), if its transport gives the time."""
    row = tx.execute("SELECT published FROM messages WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else row["published"]


def is_open(tx: Transaction, delivery_id: int) -> bool:
    """Return whether the delivery is neither done nor dead yet."""
    row = tx.execute("SELECT state FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return row is not None and row["state"] == "new"


def dead_because(tx: Transaction, message_id: int | None) -> str | None:
    """Return why a lane gave up a message; None if none did."""
    sql = "SELECT reason FROM deliveries WHERE message_id = ? AND state = 'dead'"
    row = tx.execute(sql, (message_id,)).fetchone()
    return None if row is None else str(row["reason"])


def mark_done(tx: Transaction, delivery_id: int, now: float) -> None:
    """Note that the lane has handled this message."""
    tx.execute("UPDATE deliveries SET state = 'done', reason = NULL, decided = ? WHERE id = ?", (now, delivery_id))


def postpone(tx: Transaction, delivery_id: int, not_before: float, reason: str) -> None:
    """Count a failed attempt, and retry the delivery at `not_before` (Unix s)."""
    tx.execute(
        "UPDATE deliveries SET attempts = attempts + 1, not_before = ?, reason = ? WHERE id = ?",
        (not_before, reason, delivery_id),
    )


def count_crash(tx: Transaction, delivery_id: int, reason: str) -> int:
    """Record that the process died while it handled this open delivery, and return how often that has happened."""
    row = tx.execute(
        query("blame_delivery"),
        (reason, delivery_id),
    ).fetchone()
    return 0 if row is None else int(row["crashes"])


def mark_dead(tx: Transaction, delivery_id: int, reason: str, traceback: str | None, now: float) -> None:
    """Make a delivery a dead letter."""
    tx.execute(
        query("bury_delivery"),
        (reason, traceback, now, delivery_id),
    )


def retry_dead(tx: Transaction, delivery_id: int | None = None) -> int:
    """Requeue one dead letter, or all, for their lanes; return how many."""
    where, parameters = ("", ()) if delivery_id is None else ("AND id = ?", (delivery_id,))
    return tx.execute(
        f"UPDATE deliveries SET state = 'new', attempts = 0, crashes = 0, not_before = 0 WHERE state = 'dead' {where}",
        parameters,
    ).rowcount


def first_time(tx: Transaction, content: str, handler: str, now: float) -> bool:
    """Record that `handler` handles this content; return False if it already has."""
    return tx.execute("INSERT OR IGNORE INTO handled VALUES (?, ?, ?)", (content, handler, now)).rowcount == 1


def was_handled(tx: Transaction, content: str, handler: str) -> bool:
    """Return whether `handler` has handled this content."""
    row = tx.execute("SELECT 1 FROM handled WHERE digest = ? AND handler = ?", (content, handler)).fetchone()
    return row is not None


def prune(tx: Transaction, before: float, limit: int = 20_000) -> int:
    """Delete up to `limit` handled messages received before `before`, and the records of content handled before."""
    gone = tx.execute(query("prune_messages"), {"before": before, "limit": limit}).rowcount
    tx.execute("DELETE FROM handled WHERE at < ?", (before,))
    return gone
