"""Effects: asked for once, claimed by a worker, done, retried or dead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.effects import Effect
from gwbatch.ledger.database import Transaction, query


@dataclass(frozen=True)
class Claimed:
    """An effect that a worker carries out.

    Attributes
    ----------
    attempts : int
        1 the first time; above 1 the outcome of an earlier attempt is unknown and the other side is asked.
    """

    id: int
    key: str
    kind: str
    subject: str
    args: dict[str, Any]
    attempts: int
    message_id: int | None
    created: float


def ask_for(tx: Transaction, effect: Effect, now: float, message_id: int | None = None) -> bool:
    """Write an effect down; False when its key is known already."""
    cursor = tx.execute(
        "INSERT OR IGNORE INTO effects (key, kind, subject, args, after, priority, state, message_id, created) "
        "VALUES (?, ?, ?, ?, ?, ?, 'ready', ?, ?)",
        (
            effect.key,
            effect.kind,
            effect.subject,
            json.dumps(dict(effect.args)),
            effect.after,
            effect.priority,
            message_id,
            now,
        ),
    )
    return cursor.rowcount == 1


def claim(tx: Transaction, owner: int, now: float) -> Claimed | None:
    """Take the best effect that may run now."""
    row = tx.execute(query("claim_effect"), {"owner": owner, "now": now}).fetchone()
    return None if row is None else Claimed(**{**dict(row), "args": json.loads(row["args"])})


def done(tx: Transaction, claimed: Claimed, result: Mapping[str, Any], now: float) -> None:
    """The effect has happened."""
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


def bury(tx: Transaction, claimed: Claimed, error: str, now: float) -> None:
    """Give up on the effect, loudly; what waits for it keeps waiting."""
    tx.execute("UPDATE effects SET state = 'dead', error = ?, finished = ? WHERE id = ?", (error, now, claimed.id))


def release_running(tx: Transaction) -> int:
    """After a crash: what was under way has an unknown outcome and is claimed again, asking first."""
    return tx.execute("UPDATE effects SET state = 'ready' WHERE state = 'running'").rowcount


def retry_dead(tx: Transaction, key: str | None = None) -> int:
    """Let one dead effect, or all, be claimed again; returns how many."""
    where, parameters = ("", ()) if key is None else ("AND key = ?", (key,))
    # A job whose submission was given up has failed; now it waits again, unless another attempt came after that one.
    tx.execute(
        "UPDATE jobs SET state = 'WAITING' WHERE state = 'FAILED' AND (key, attempt) IN (SELECT "
        "json_extract(args, '$.job'), json_extract(args, '$.attempt') FROM effects "
        f"WHERE state = 'dead' AND kind = 'job.submit' {where})",
        parameters,
    )
    return tx.execute(
        f"UPDATE effects SET state = 'ready', not_before = 0 WHERE state = 'dead' {where}", parameters
    ).rowcount
