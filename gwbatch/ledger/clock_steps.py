"""The times of all that waits, moved along when somebody sets the clock."""

from __future__ import annotations

import json
from pathlib import Path

from gwbatch.ledger.database import Transaction, query

_BOOT = Path("/proc/sys/kernel/random/boot_id")
WAITING = ("timers", "effects", "deliveries", "jobs", "notices", "heartbeats", "pilots")


def move(tx: Transaction, step: float) -> None:
    """Move what is due, and what durations are counted from, by so many seconds."""
    for what in WAITING:
        tx.execute(query(f"move_{what}"), {"step": step})


def note_offset(tx: Transaction, offset: float, now: float) -> None:
    """Write down the difference (s) between the clock and the time since the machine was started."""
    value = json.dumps({"boot": _boot(), "offset": offset})
    tx.execute("INSERT OR REPLACE INTO settings VALUES ('clock', ?, ?)", (value, now))


def noted_offset(tx: Transaction) -> float | None:
    """Return what was written down since the machine was started."""
    row = tx.execute("SELECT value FROM settings WHERE name = 'clock'").fetchone()
    known = {} if row is None else json.loads(row["value"])
    return float(known["offset"]) if known.get("boot") == _boot() else None


def note_step(tx: Transaction, step: float, now: float) -> None:
    """Remember that the clock was set, the newest ten times."""
    row = tx.execute("SELECT value FROM settings WHERE name = 'clock_steps'").fetchone()
    steps = [] if row is None else json.loads(row["value"])
    value = json.dumps([*steps, [now, step]][-10:])
    tx.execute("INSERT OR REPLACE INTO settings VALUES ('clock_steps', ?, ?)", (value, now))


def noted_steps(tx: Transaction) -> list[tuple[float, float]]:
    """Return when the clock was set (Unix s, by the new time), and by how much (s)."""
    row = tx.execute("SELECT value FROM settings WHERE name = 'clock_steps'").fetchone()
    return [] if row is None else [(at, by) for at, by in json.loads(row["value"])]


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
