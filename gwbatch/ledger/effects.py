"""Effects: requested once, claimed by a worker, then done, retried or dead."""

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
    """Store an effect; return False if its key is already known.

    In a recently restored ledger, it counts as one that may have been attempted before.
    """
    row = encode(effect)
    attempts = int(effect.ask_first and taken_before(tx, now) is not None)
    cursor = tx.execute(
        query("ask_for_effect"),
        (row.key, row.kind, row.subject, row.args, row.after, row.priority, message_id, attempts, now),
    )
    return cursor.rowcount == 1


def ask_again(tx: Transaction, effect: Effect, now: float) -> None:
    """Request an effect even if it was already executed."""
    if not request(tx, effect, now):
        tx.execute("UPDATE effects SET state = 'ready', not_before = 0 WHERE key = ?", (effect.key,))


def reopen(tx: Transaction, key: str) -> bool:
    """Requeue a done effect, whose executor asks first; return whether there was one."""
    cursor = tx.execute("UPDATE effects SET state = 'ready', not_before = 0 WHERE key = ? AND state = 'done'", (key,))
    return cursor.rowcount == 1


def claim(tx: Transaction, owner: int, now: float) -> Claimed | None:
    """Claim the best effect that may run now."""
    number = next_one(tx, now)
    if number is None:
        return None
    row = tx.execute(query("claim_effect"), {"id": number, "owner": owner, "now": now}).fetchone()
    return Claimed(**dict(row))


def next_one(tx: Transaction, now: float) -> int | None:
    """Return the number of the best effect that may run now; without a lock, so that idle workers block nobody."""
    row = tx.execute(query("next_effect"), {"now": now}).fetchone()
    return None if row is None else int(row["id"])


def done(tx: Transaction, claimed: Claimed, result: Mapping[str, Any], now: float) -> None:
    """Mark the effect done, with its result."""
    tx.execute(
        "UPDATE effects SET state = 'done', result = ?, error = NULL, finished = ? WHERE id = ?",
        (json.dumps(dict(result)), now, claimed.id),
    )


def postpone(tx: Transaction, claimed: Claimed, not_before: float, error: str, expected: float | None = None) -> None:
    """Retry the effect at `not_before`; the wait is normal until `expected` (both in Unix s)."""
    tx.execute(
        "UPDATE effects SET state = 'ready', not_before = ?, error = ?, expected = ? WHERE id = ?",
        (not_before, error, expected, claimed.id),
    )


def mark_dead(tx: Transaction, claimed: Claimed, error: str, now: float) -> None:
    """Mark the effect dead. Effects that depend on it stay blocked until it is retried."""
    tx.execute("UPDATE effects SET state = 'dead', error = ?, finished = ? WHERE id = ?", (error, now, claimed.id))


def wake(tx: Transaction, subject: str) -> None:
    """Let the effects of a subject run at once, because what they wait for may be available."""
    tx.execute("UPDATE effects SET not_before = 0 WHERE subject = ? AND state = 'ready'", (subject,))


def requeue_running(tx: Transaction) -> int:
    """Requeue the effects that a crash interrupted; their outcome is unknown, so the next worker asks first."""
    return tx.execute("UPDATE effects SET state = 'ready' WHERE state = 'running'").rowcount


def retry_dead(tx: Transaction, key: str | None = None) -> list[tuple[str, str]]:
    """Requeue one dead effect, or all; return the kind and arguments (JSON) of each."""
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
    """Return whether an effect is done."""
    return tx.execute("SELECT 1 FROM effects WHERE key = ? AND state = 'done'", (key,)).fetchone() is not None


def open_since(tx: Transaction, key: str) -> float | None:
    """Return when an effect that is still open was requested (Unix s); None if there is none."""
    sql = "SELECT created FROM effects WHERE key = ? AND state IN ('ready', 'running')"
    row = tx.execute(sql, (key,)).fetchone()
    return None if row is None else float(row["created"])


@dataclass(frozen=True)
class Write:
    """The current state of a requested effect."""

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
    """Return the newest effect whose key is one of these, or continues one with a slash; None if there is none."""
    found = []
    for key in keys:
        rows = tx.execute(query("effects_under"), {"key": key, "low": f"{key}/", "high": f"{key}0"})  # "0" follows "/"
        found += [Write(**dict(row)) for row in rows.fetchall()]
    return max(found, key=lambda one: one.id, default=None)
