"""Channels through which a pilot reaches the standby folder and learns of tasks."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from gwbatch.errors import TransientError
from gwbatch.jobs.standby.layout import INBOX, ORDERS, PILOTS, TAKEN, Beat, Orders, Task, decoded

TELL = 0.5  # s that a caller has to name its task


class ChannelDown(TransientError):
    """The standby folder cannot be reached at the moment."""


class Channel(Protocol):
    """A way to the standby folder."""

    socket: str

    def offers(self, seconds: float) -> Iterator[str]:
        """Yield the names of tasks to claim, waiting at most `seconds` for the first."""
        ...

    def claim(self, name: str, pilot: str) -> Task | None:
        """Claim a task; return None when another pilot has it, or it was withdrawn, or it cannot be read."""
        ...

    def holds(self, name: str, pilot: str) -> bool:
        """Return whether the pilot still holds the claim."""
        ...

    def fetch(self, name: str, task: Task) -> Path:
        """Return the folder on this node in which the task's child works, with its inputs."""
        ...

    def deliver(self, name: str, task: Task, pilot: str) -> None:
        """Deliver the files that the child has left, and record in the claim how it ended."""
        ...

    def beat(self, beat: Beat) -> None:
        """Write the pilot's heartbeat."""
        ...

    def orders(self) -> Orders | None:
        """Return the dispatcher's orders; None when they cannot be read at the moment."""
        ...

    def close(self, pilot: str) -> None:
        """Remove the pilot's heartbeat and close the channel."""
        ...


class FolderChannel:
    """A folder that this node sees, with a Unix socket as the doorbell.

    The pilot does not poll the inbox, because a network file system may show new names late.  Renaming a known name is
    not affected.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = Path(tempfile.mkdtemp(prefix="gwbatch-pilot-"))
        self.socket = str(self._home / "socket")
        self._bell = socket.socket(socket.AF_UNIX)
        self._bell.bind(self.socket)
        self._bell.listen(64)
        self._callers: dict[str, socket.socket] = {}

    def offers(self, seconds: float) -> Iterator[str]:
        if not select.select([self._bell], [], [], seconds)[0]:
            return
        caller, _ = self._bell.accept()
        caller.settimeout(TELL)
        with caller, contextlib.suppress(OSError):
            name = caller.recv(100).decode("ascii", "replace").strip()
            self._callers[name] = caller
            yield name
            self._answer(name, taken=False)

    def claim(self, name: str, pilot: str) -> Task | None:
        mine = self._claim(name, pilot)
        try:
            (self._folder / INBOX / name).rename(mine)
        except OSError:
            # On a network file system a rename may succeed and still be reported as failed.
            if not mine.exists():
                return None
        self._answer(name, taken=True)
        try:
            return decoded(mine.read_bytes(), Task)
        except OSError:
            return None  # revoked already, or unreadable; the dispatcher starts another attempt

    def holds(self, name: str, pilot: str) -> bool:
        try:
            return self._claim(name, pilot).exists()
        except OSError:
            return True  # an I/O error does not mean that the claim is gone

    def fetch(self, name: str, task: Task) -> Path:
        return Path(task.directory)

    def deliver(self, name: str, task: Task, pilot: str) -> None:
        # Update in place only.  A claim that has disappeared was revoked and must not be recreated.
        with contextlib.suppress(OSError), self._claim(name, pilot).open("r+b") as claim:
            claim.write(msgspec.json.encode(task))
            claim.truncate()

    def beat(self, beat: Beat) -> None:
        # Rewrite the file in place.  Other clients of a network file system see new contents at once, but may miss a
        # new file that replaces one of the same name.
        with contextlib.suppress(OSError):
            (self._folder / PILOTS / f"{beat.pilot}.json").write_bytes(msgspec.json.encode(beat))

    def orders(self) -> Orders | None:
        try:
            return decoded((self._folder / ORDERS).read_bytes(), Orders)
        except OSError:
            return None

    def close(self, pilot: str) -> None:
        self._bell.close()
        shutil.rmtree(self._home, ignore_errors=True)
        (self._folder / PILOTS / f"{pilot}.json").unlink(missing_ok=True)

    def _claim(self, name: str, pilot: str) -> Path:
        return self._folder / TAKEN / f"{name}.{pilot}"

    def _answer(self, name: str, *, taken: bool) -> None:
        caller = self._callers.pop(name, None)
        if caller is not None:
            with contextlib.suppress(OSError):
                caller.sendall(b"taken\n" if taken else b"no\n")
