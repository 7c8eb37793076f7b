"""The table of settings: small JSON values under names, which must survive a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gwbatch.ledger.database import Transaction

POLICY, PROFILE = "policy", "profile"  # those in force for the newest dispatcher
WAVEFORM_DATA, NOT_MADE = "waveform_data", "not_made"
BACKED_UP, RESTORED = "backed_up", "restored"


@dataclass(frozen=True)
class Setting:
    """One value, and when it was recorded (Unix s)."""

    name: str
    value: Any
    recorded: float


def put(tx: Transaction, name: str, value: Any, now: float) -> None:
    """Record a value, replacing any earlier one."""
    tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (name, json.dumps(value), now))


def setting(tx: Transaction, name: str) -> Setting | None:
    """Return what is recorded under a name; None if nothing is."""
    row = tx.execute("SELECT name, value, recorded FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else Setting(row["name"], json.loads(row["value"]), row["recorded"])


def get(tx: Transaction, name: str, default: Any = None) -> Any:
    """Return the value recorded under a name, or the default."""
    found = setting(tx, name)
    return default if found is None else found.value


def beginning_with(tx: Transaction, prefix: str) -> list[Setting]:
    """Return everything recorded under names that begin with `prefix`, by name."""
    rows = tx.execute(
        "SELECT name, value, recorded FROM settings WHERE name >= ? AND name < ? ORDER BY name",
        (prefix, prefix + "\uffff"),
    )
    return [Setting(row["name"], json.loads(row["value"]), row["recorded"]) for row in rows.fetchall()]


def forget(tx: Transaction, *names: str) -> None:
    """Remove what is recorded under these names."""
    tx.executemany("DELETE FROM settings WHERE name = ?", [(name,) for name in names])
