"""Effects: asked for once, claimed by a worker, done, retried or dead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.effects import Effect, encode
from gwbatch.ledger.database import Transaction, query
from gwbatch.ledger.restored import taken_before


@dataclass(frozen=True)
class Claimed:
    """The row of an effect that a worker has claimed; `args` is JSON."""

    id: int
    key: str
    kind: str
    args: str
    after: str | None
    attempts: int
    message_id: int | None
    created: float


def request(tx: Transaction, effect: Effect, now: float, message_id: int | None = None) -> bool:
    """Write an effect down; False when its key is known already.

    In a ledger that was restored it counts as one that may have been attempted before.
    """
    row = encode(effect)
    attempts = int(effect.ask_first and taken_before(tx, now) is not None)
    cursor = tx.execute(
        query("ask_for_effect"),
        (row.key, row.kind, row.subject, row.args, row.after, row.priority, message_id, attempts, now),
    )
    return cursor.rowcount == 1


def ask_again(tx: Transaction, effect: Effect, now: float) -> None:
    """Have an effect happen even if it has happened before."""
    if not request(tx, effect, now):
        tx.execute("UPDATE effects SET state = 'ready', not_before = 0 WHERE key = ?", (effect.key,))


def reopen(tx: Transaction, key: str) -> bool:
    """Have an effect that was done happen again, asking first; whether there is such an effect."""
    cursor = tx.execute("UPDATE effects SET state = 'ready', not_before = 0 WHERE key = ? AND state = 'done'", (key,))
    return cursor.rowcount == 1


def claim(tx: Transaction, owner: int, now: float) -> Claimed | None:
    """Take the best effect that may run now."""
    row = tx.execute(query("claim_effect"), {"owner": owner, "now": now}).fetchone()
    return None if row is None else Claimed(**dict(row))


def done(tx: Transaction, claimed: Claimed, result: Mapping[str, Any], now: float) -> None:
    """Note that the effect has happened."""
    tx.execute(
        "UPDATE effects SET state = 'done', result = ?, error = NULL, finished = ? WHERE id = ?",
        (json.dumps(dict(result)), now, claimed.id),
    )


def postpone(tx: Transaction, claimed: Claimed, not_before: float, error: str, expected: float | None = None) -> None:
    """Try again at `not_before`; until `expected` (Unix s) the wait is no trouble."""
    tx.execute(
        "UPDATE effects SET state = 'ready', not_before = ?, error = ?, expected = ? WHERE id = ?",
        (not_before, error, expected, claimed.id),
    )


def mark_dead(tx: Transaction, claimed: Claimed, error: str, now: float) -> None:
    """Mark the effect dead. Effects that depend on it stay blocked until it is retried."""
    tx.execute("UPDATE effects SET state = 'dead', error = ?, finished = ? WHERE id = ?", (error, now, claimed.id))


def wake(tx: Transaction, subject: str) -> None:
    """Let the effects of a subject be tried again at once: what they wait for may be there."""
    tx.execute("UPDATE effects SET not_before = 0 WHERE subject = ? AND state = 'ready'", (subject,))


def requeue_running(tx: Transaction) -> int:
    """Queue again what a crash interrupted: its outcome is unknown, so the next worker asks first."""
    return tx.execute("UPDATE effects SET state = 'ready' WHERE state = 'running'").rowcount


def retry_dead(tx: Transaction, key: str | None = None) -> list[tuple[str, str]]:
    """Let one dead effect, or all, be claimed again; returns kind and arguments (JSON) of each."""
    where, parameters = ("", ()) if key is None else ("AND key = ?", (key,))
    rows = tx.execute(
        f"UPDATE effects SET state = 'ready', not_before = 0 WHERE state = 'dead' {where} RETURNING kind, args",
        parameters,
    ).fetchall()
    return [(row["kind"], row["args"]) for row in rows]


def key_of(tx: Transaction, number: int) -> str | None:
    """Return the key of an effect by its number."""
    row = tx.execute("SELECT key FROM effects WHERE id = ?", (number,)).fetchone()
    return None if row is None else str(row["key"])


def is_done(tx: Transaction, key: str) -> bool:
    """Return whether an effect has happened."""
    return tx.execute("SELECT 1 FROM effects WHERE key = ? AND state = 'done'", (key,)).fetchone() is not None


def open_since(tx: Transaction, key: str) -> float | None:
    """Return since when an effect has been asked for (Unix s); None if it is not still to come."""
    sql = "SELECT created FROM effects WHERE key = ? AND state IN ('ready', 'running')"
    row = tx.execute(sql, (key,)).fetchone()
    return None if row is None else float(row["created"])


def is_any_due(tx: Transaction, now: float) -> bool:
    """Return whether an effect may be ready to run, without a lock, so that idle workers disturb nobody."""
    sql = "SELECT 1 FROM effects WHERE state = 'ready' AND not_before <= ? LIMIT 1"
    return tx.execute(sql, (now,)).fetchone() is not None


@dataclass(frozen=True)
class Write:
    """An effect as it stands: what became of something that was asked for."""

    id: int
    key: str
    kind: str
    state: str
    error: str

    @property
    def open(self) -> bool:
        """Whether it is still to come."""
        return self.state in ("ready", "running")


def newest_of(tx: Transaction, keys: Iterable[str]) -> Write | None:
    """Return the newest effect with one of these keys, or with one that goes on with a slash; None if there is none."""
    found = []
    for key in keys:
        rows = tx.execute(query("effects_under"), {"key": key, "low": f"{key}/", "high": f"{key}0"})  # "0" follows "/"
        found += [Write(**dict(row)) for row in rows.fetchall()]
    return max(found, key=lambda one: one.id, default=None)
