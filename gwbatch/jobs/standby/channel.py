"""How a pilot reaches the standby folder, and how it hears of tasks."""

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

TELL = 0.5  # s that a caller has to say which task it means


class ChannelDown(TransientError):
    """The folder cannot be reached just now."""


class Channel(Protocol):
    """A way to the standby folder."""

    socket: str

    def offers(self, seconds: float) -> Iterator[str]:
        """Yield names of tasks to claim; wait for one at most `seconds`."""
        ...

    def claim(self, name: str, pilot: str) -> Task | None:
        """Claim a task; None when somebody else has it, or it was withdrawn."""
        ...

    def holds(self, name: str, pilot: str) -> bool:
        """Return whether the claim still stands."""
        ...

    def fetch(self, name: str, task: Task) -> Path:
        """Return the folder on this node in which the task's child works."""
        ...

    def deliver(self, name: str, task: Task, pilot: str) -> None:
        """Bring home what the child has left, and note how it ended."""
        ...

    def beat(self, beat: Beat) -> None:
        """Write the pilot's heartbeat."""
        ...

    def orders(self) -> Orders | None:
        """Return what the dispatcher orders; None when that cannot be read just now."""
        ...

    def close(self, pilot: str) -> None:
        """Leave."""
        ...


class FolderChannel:
    """A folder that this node sees, and a Unix socket as the doorbell.

    Nobody polls the inbox: a network file system shows new names late.  A rename of a known name is not affected.
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
            return None  # revoked already, or nobody can read it: who offered it gives it to somebody else

    def holds(self, name: str, pilot: str) -> bool:
        try:
            return self._claim(name, pilot).exists()
        except OSError:
            return True  # silence is no answer

    def fetch(self, name: str, task: Task) -> Path:
        return Path(task.directory)

    def deliver(self, name: str, task: Task, pilot: str) -> None:
        # Never made anew: one that is gone was taken away.
        with contextlib.suppress(OSError), self._claim(name, pilot).open("r+b") as claim:
            claim.write(msgspec.json.encode(task))
            claim.truncate()

    def beat(self, beat: Beat) -> None:
        # In place: a network file system sees new contents at once, a new file of the same name perhaps not.
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
