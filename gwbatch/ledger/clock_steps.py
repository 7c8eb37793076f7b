"""Steps of the clock, and the shift of stored times when somebody sets it."""

from __future__ import annotations

from pathlib import Path

from gwbatch.ledger import settings
from gwbatch.ledger.database import Transaction, query

_BOOT = Path("/proc/sys/kernel/random/boot_id")
WAITING = ("timers", "effects", "deliveries", "jobs", "notices", "heartbeats", "pilots")


def move(tx: Transaction, step: float) -> None:
    """Shift due times, and the start times of durations, by `step` seconds."""
    for what in WAITING:
        tx.execute(query(f"move_{what}"), {"step": step})


def note_offset(tx: Transaction, offset: float, now: float) -> None:
    """Record the difference (s) between the clock and the time since the machine booted."""
    settings.put(tx, "clock", {"boot": _boot(), "offset": offset}, now)


def noted_offset(tx: Transaction) -> float | None:
    """Return the offset (s) that was recorded since the machine booted; None if there is none."""
    known = settings.get(tx, "clock", {})
    return float(known["offset"]) if known.get("boot") == _boot() else None


def note_step(tx: Transaction, step: float, now: float) -> None:
    """Record that the clock was set; keep only the ten newest records."""
    steps = settings.get(tx, "clock_steps", [])
    settings.put(tx, "clock_steps", [*steps, [now, step]][-10:], now)


def noted_steps(tx: Transaction) -> list[tuple[float, float]]:
    """Return when the clock was set (Unix s, by the new time), and by how much (s)."""
    return [(at, by) for at, by in settings.get(tx, "clock_steps", [])]


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
