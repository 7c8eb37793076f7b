"""The problems found by the last check, and whether a notification about each went out."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from gwbatch.ledger.database import Transaction


@dataclass(frozen=True)
class Trouble:
    """One problem.

    Attributes
    ----------
    since : float
        When it was first found, Unix time in s.
    told : bool
        Whether a notification went out at this level.
    """

    key: str
    level: int
    text: str
    since: float
    told: bool


def known(tx: Transaction) -> dict[str, Trouble]:
    """Return the problems found by the last check, by key."""
    rows = tx.execute("SELECT key, level, text, since, told FROM troubles").fetchall()
    return {row["key"]: Trouble(**{**dict(row), "told": bool(row["told"])}) for row in rows}


def put(tx: Transaction, trouble: Trouble) -> None:
    """Store a problem."""
    tx.execute("INSERT OR REPLACE INTO troubles VALUES (?, ?, ?, ?, ?)", astuple(trouble))


def forget(tx: Transaction, key: str) -> None:
    """Forget a problem that is over."""
    tx.execute("DELETE FROM troubles WHERE key = ?", (key,))
