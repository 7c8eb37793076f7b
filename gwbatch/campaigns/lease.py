"""Who writes the table: one process at a time, on whatever node.

``owner.json`` says who, and its number grows as long as that process lives.  A newcomer takes the campaign over when
the number has stood still for a while by its own clock; every write of the table checks that it is still the owner.
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
        One more with every owner.
    start : str
        When the process began, by its kernel: another process may have its number later.
    batch_id : str
        The batch job, where it is one.
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
        """Show that this process lives.

        Raises
        ------
        LeaseLost
            If another one has taken over.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + BEAT_EVERY
        found = read(self._path)
        if found is None or found.number != self.number:
            raise LeaseLost(f"Another process has taken over {self._path.parent}: this one ends.")
        self._owner = msgspec.structs.replace(self._owner, beat=self._owner.beat + 1)
        write(self._path, self._owner)

    def release(self) -> None:
        """Let the next one have it at once."""
        found = read(self._path)
        if found is not None and found.number == self.number:
            write(self._path, msgspec.structs.replace(self._owner, pid=0))


def read(path: Path) -> Owner | None:
    """Return who owns a campaign, or did last; None if nobody ever did."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


def is_alive(owner: Owner | None) -> bool | None:
    """Return whether an owner works; None when that cannot be told from here."""
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
    """Become the owner; waits for a sign of life of one that cannot be asked.

    Parameters
    ----------
    number : int
        Of the last owner that wrote the table: ours is larger.
    patience : float
        Seconds without a beat after which an owner on another node counts as gone; None: never wait, it counts as
        alive.

    Raises
    ------
    AlreadyRunning
        If somebody else works on the campaign.
    """
    found = read(path)
    alive = is_alive(found)
    if found is not None and alive is None:
        on_wait(found)
        alive = patience is None or _beats(path, found, patience)
    if found is not None and alive:
        job = f", batch job {found.batch_id}" if found.batch_id else ""
        raise AlreadyRunning(
            f"Cannot work on {path.parent}: process {found.pid} on {found.host}{job} does. Look at it with 'gwbatch "
            f"campaign status', or stop it with 'gwbatch campaign stop'."
        )
    owner = _with_number(path, max(number, found.number if found is not None else 0) + 1, patience)
    write(path, owner)
    for old in path.parent.glob(f"{_MARK}*"):
        if old.name < f"{_MARK}{owner.number:09d}":
            old.unlink(missing_ok=True)
    return Lease(path, owner)


def _with_number(path: Path, number: int, patience: float | None) -> Owner:
    """Claim a number that nobody has: of two newcomers one gets it, and one that died at once keeps it from nobody."""
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
                raise AlreadyRunning(f"Cannot work on {path.parent}: another process has just begun to.") from None
            number += 1
        else:
            hit("campaign.lease.numbered")
            return owner
        finally:
            temporary.unlink(missing_ok=True)


def _beats(path: Path, owner: Owner, patience: float) -> bool:
    """Return whether an owner shows a sign of life, other than to let the campaign go."""
    return _changes(path, owner, patience) and is_alive(read(path)) is not False


def _changes(path: Path, before: Owner | None, patience: float) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(0.5, patience / 4))
        if read(path) != before:
            return True
    return False


def start_of(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
