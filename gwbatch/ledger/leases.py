"""Leases with fencing tokens: one process decides, and one that lost its lease can write nothing.

A dead holder (same host, process gone) is replaced at once, one on another host only when its heartbeat is stale.
The token grows with each holder and is checked inside every deciding transaction.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from gwbatch.errors import AlreadyRunning, LeaseLost
from gwbatch.ledger.database import Transaction, query

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which the holder on another host is taken for dead."""


@dataclass(frozen=True)
class Lease:
    """The right to decide, for as long as `token` is the newest."""

    name: str
    token: int


def acquire(tx: Transaction, name: str, now: float) -> Lease:
    """Take the lease `name`.

    Raises
    ------
    AlreadyRunning
        When its holder is alive; the message names the host and the process id.
    """
    row = tx.execute("SELECT * FROM leases WHERE name = ?", (name,)).fetchone()
    if (
        row is not None
        and not row["released"]
        and _alive(row["host"], row["pid"], row["pid_started"], row["heartbeat"], now)
    ):
        raise AlreadyRunning(
            f"The {name} of this state directory already runs on host {row['host']} with pid {row['pid']}. "
            "Look at it with 'gwbatch status', or stop it first (kill its pid)."
        )
    token = 1 if row is None else row["token"] + 1
    pid = os.getpid()
    tx.execute(
        query("put_lease"),
        {
            "name": name,
            "host": socket.gethostname(),
            "pid": pid,
            "pid_started": _started(pid),
            "token": token,
            "now": now,
        },
    )
    return Lease(name, token)


def check(tx: Transaction, lease: Lease) -> None:
    """Raise `LeaseLost` unless `lease` is the newest; call it first in a deciding transaction."""
    row = tx.execute("SELECT token, released FROM leases WHERE name = ?", (lease.name,)).fetchone()
    if row is None or row["token"] != lease.token or row["released"]:
        raise LeaseLost(
            f"The lease {lease.name} (token {lease.token}) was taken over; this process writes nothing more."
        )


def beat(tx: Transaction, lease: Lease, now: float) -> None:
    """Record a heartbeat of the holder."""
    check(tx, lease)
    tx.execute("UPDATE leases SET heartbeat = ? WHERE name = ?", (now, lease.name))


def release(tx: Transaction, lease: Lease) -> None:
    """Release the lease so that a successor can acquire it at once."""
    tx.execute("UPDATE leases SET released = 1 WHERE name = ? AND token = ?", (lease.name, lease.token))


def _alive(host: str, pid: int, pid_started: float, heartbeat: float, now: float) -> bool:
    if host != socket.gethostname():
        return now - heartbeat < STALE_AFTER
    return pid != os.getpid() and pid_alive(pid, pid_started)


def pid_alive(pid: int, started: float) -> bool:
    """Return whether the process `pid` that started at `started` still runs (a reused pid does not count)."""
    try:
        return _started(pid) == started
    except OSError:
        return False


def _started(pid: int) -> float:
    """Return when a process started, in ticks since boot, which setting the clock does not change.

    Raises
    ------
    OSError
        When there is no such process, or it is dead but not yet reaped.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return float(fields[19])
