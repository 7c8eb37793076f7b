"""The lease on a campaign, which lets one process at a time, on any node, write the table.

``owner.json`` names the owner, which keeps increasing the beat in it.  A newcomer takes the campaign over when the
beat has not changed for a while by the newcomer's own clock.  Every write to the table checks that the writer is still
the owner.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from gwbatch.campaigns.folder import write
from gwbatch.errors import AlreadyRunning, LeaseLost
from gwbatch.failpoints import hit

BEAT_EVERY = 2.0  # s
TAKE_OVER_AFTER = 30.0  # s without a beat
_MARK = ".owner-"


class Owner(msgspec.Struct, frozen=True):
    """``owner.json``.

    Attributes
    ----------
    number : int
        Larger than that of every earlier owner.
    pid : int
        Process ID; 0 once the lease is released.
    start : str
        Start time of the process, as its kernel reports it, because process IDs are reused.
    batch_id : str
        ID of the Slurm job, if it runs in one.
    """

    number: int
    host: str
    pid: int
    start: str
    batch_id: str
    beat: int = 0


class Lease:
    """The right to write a campaign's table."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path, self._owner = path, owner
        self._next = 0.0

    @property
    def number(self) -> int:
        return self._owner.number

    def beat(self) -> None:
        """Renew the lease if a beat is due.

        Raises
        ------
        LeaseLost
            If another process has taken over.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + BEAT_EVERY
        found = read(self._path)
        if found is None or found.number != self.number:
            raise LeaseLost(f"Another process has taken over {self._path.parent}, so this one ends.")
        self._owner = msgspec.structs.replace(self._owner, beat=self._owner.beat + 1)
        write(self._path, self._owner)

    def release(self) -> None:
        """Release the lease so that a successor can acquire it at once."""
        found = read(self._path)
        if found is not None and found.number == self.number:
            write(self._path, msgspec.structs.replace(self._owner, pid=0))


def read(path: Path) -> Owner | None:
    """Return the current or last owner of a campaign, or None if it never had one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


def is_alive(owner: Owner | None) -> bool | None:
    """Return whether an owner is alive, or None if it is on another host and this one cannot tell."""
    if owner is None or not owner.pid:
        return False
    if owner.host != socket.gethostname():
        return None
    return start_of(owner.pid) == owner.start


def take(
    path: Path,
    number: int,
    *,
    patience: float | None = TAKE_OVER_AFTER,
    on_wait: Callable[[Owner], None] = lambda _: None,
) -> Lease:
    """Become the owner, after waiting for a beat if the last owner is on another node.

    Parameters
    ----------
    number : int
        Number of the last owner that wrote the table.  The new owner's number is larger.
    patience : float or None
        Seconds without a beat after which an owner on another node counts as gone.  With None, such an owner counts
        as alive without waiting.
    on_wait : callable
        Called with the last owner if it is on another node.

    Raises
    ------
    AlreadyRunning
        If another process works on the campaign.
    """
    found = read(path)
    alive = is_alive(found)
    if found is not None and alive is None:
        on_wait(found)
        alive = patience is None or _beats(path, found, patience)
    if found is not None and alive:
        job = f", batch job {found.batch_id}" if found.batch_id else ""
        raise AlreadyRunning(
            f"Cannot work on {path.parent}: process {found.pid} on {found.host}{job} works on it. See 'gwbatch "
            f"campaign status', or stop it with 'gwbatch campaign stop'."
        )
    owner = _with_number(path, max(number, found.number if found is not None else 0) + 1, patience)
    write(path, owner)
    for old in path.parent.glob(f"{_MARK}*"):
        if old.name < f"{_MARK}{owner.number:09d}":
            old.unlink(missing_ok=True)
    return Lease(path, owner)


def _with_number(path: Path, number: int, patience: float | None) -> Owner:
    """Claim a free number by creating a marker file, and return the new owner.

    If two processes try to claim the same number, one succeeds.  If the holder of a number died before it became the
    owner, the next number is claimed.
    """
    host, pid = socket.gethostname(), os.getpid()
    while True:
        owner = Owner(number, host, pid, start_of(pid), os.environ.get("SLURM_JOB_ID", ""))
        mark, temporary = path.with_name(f"{_MARK}{number:09d}"), path.with_name(f".new-owner-{host}-{pid}")
        write(temporary, owner)
        try:
            os.link(temporary, mark)
        except FileExistsError:
            before, other = read(path), read(mark)
            alive = is_alive(other)
            if alive or (alive is None and (patience is None or _changes(path, before, patience))):
                raise AlreadyRunning(f"Cannot work on {path.parent}: another process has just started on it.") from None
            number += 1
        else:
            hit("campaign.lease.numbered")
            return owner
        finally:
            temporary.unlink(missing_ok=True)


def _beats(path: Path, owner: Owner, patience: float) -> bool:
    """Return whether ``owner.json`` changes within `patience` seconds, other than by the owner releasing the lease."""
    return _changes(path, owner, patience) and is_alive(read(path)) is not False


def _changes(path: Path, before: Owner | None, patience: float) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(0.5, patience / 4))
        if read(path) != before:
            return True
    return False


def start_of(pid: int) -> str:
    """Return the start time of a process in kernel ticks; empty for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
