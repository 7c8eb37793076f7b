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

BEAT_EVERY = 2.0  # s
TAKE_OVER_AFTER = 30.0  # s without a beat


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
    """Whether an owner works; None when that cannot be told from here."""
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
    own = max(number, found.number if found is not None else 0) + 1
    owner = Owner(own, socket.gethostname(), os.getpid(), start_of(os.getpid()), os.environ.get("SLURM_JOB_ID", ""))
    try:
        path.with_name(f".owner-{own}").open("x").close()  # of two newcomers one has the number
    except FileExistsError:
        raise AlreadyRunning(f"Cannot work on {path.parent}: another process has just begun to.") from None
    path.with_name(f".owner-{own - 1}").unlink(missing_ok=True)
    write(path, owner)
    return Lease(path, owner)


def _beats(path: Path, owner: Owner, patience: float) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        time.sleep(min(0.5, patience / 4))
        if read(path) != owner:
            return True
    return False


def start_of(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
