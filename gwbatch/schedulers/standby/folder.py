"""The dispatcher's side of the standby folder (`gwbatch.jobs.standby.layout`)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from gwbatch.jobs.standby.layout import (
    FOLDERS,
    INBOX,
    ORDERS,
    PILOTS,
    REVOKED,
    TAKEN,
    Beat,
    Orders,
    Task,
    claim_parts,
    decoded,
)
from gwbatch.private import private_folder
from gwbatch.schedulers.base import SchedulerBusy

T = TypeVar("T")
STALL = 5.0  # s between two looks, above which the gap is not the pilots' silence
KEEP_REVOKED = 7 * 86400.0  # s


class StandbyFolder:
    """The folder in which tasks are offered, and in which pilots write their heartbeats.

    Parameters
    ----------
    clock : callable
        Monotonic time in s.  Silence is measured with the dispatcher's own clock, never with a node's.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = private_folder(path)
        for name in FOLDERS:
            private_folder(path / name)
        self._clock = clock
        self._lock = threading.RLock()
        self._looked = clock()
        self._heard: dict[str, tuple[Beat, float]] = {}  # by pilot: its last heartbeat, and when we first read that
        orders = self._read(ORDERS, Orders)
        self._orders = orders or Orders(0)
        # Withdraw what a killed dispatcher has left.  The next one calls `find` before it offers a task again.
        for left in (path / INBOX).glob("*"):
            with contextlib.suppress(SchedulerBusy):  # something that is not ours
                self.withdraw(left.name)
        for old in (path / REVOKED).glob("*"):
            if time.time() - old.stat().st_mtime > KEEP_REVOKED:
                old.unlink(missing_ok=True)

    # ---- tasks ----------------------------------------------------------------------------------------------------

    def offer(self, name: str, task: Task) -> None:
        """Put a complete task into the inbox, atomically."""
        partial = self.path / f".{name}"
        with partial.open("wb") as stream:
            stream.write(msgspec.json.encode(task))
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(self.path / INBOX / name)

    def withdraw(self, name: str) -> bool:
        """Withdraw a task; return False if a pilot has it, or it was never offered.

        Raises
        ------
        SchedulerBusy
            When the task cannot be withdrawn and may still be claimed.
        """
        try:
            (self.path / INBOX / name).unlink()  # works even on a full disk
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SchedulerBusy(f"Cannot withdraw a task offered to pilots: {error}.") from error
        return True

    def offered(self, name: str) -> bool:
        """Return whether a task is in the inbox, not claimed yet."""
        return (self.path / INBOX / name).exists()

    def revoke(self, name: str, pilot: str) -> bool:
        """Revoke a pilot's claim on a task, and return whether that worked; later deliveries are ignored."""
        return self._renamed(self.path / TAKEN / f"{name}.{pilot}", self.path / REVOKED / f"{name}.{pilot}")

    def claim(self, name: str, pilot: str) -> Task | None:
        """Return a task as the pilot last wrote it; None if the pilot has no readable claim."""
        return self._read(f"{TAKEN}/{name}.{pilot}", Task)

    def has_claimed(self, name: str, pilot: str) -> bool:
        """Return whether this pilot has claimed a task."""
        return (self.path / TAKEN / f"{name}.{pilot}").exists()

    def claims(self) -> Iterator[tuple[str, str, Task]]:
        """Yield all claimed tasks: name, pilot and task."""
        for file in (self.path / TAKEN).glob("*"):
            parts = claim_parts(file.name)
            task = self.claim(*parts) if parts else None
            if parts and task:
                yield (*parts, task)

    def forget(self, name: str, pilot: str) -> None:
        """Remove the files of a task that has ended and whose result is recorded."""
        for file in (
            self.path / TAKEN / f"{name}.{pilot}",
            self.path / REVOKED / f"{name}.{pilot}",
        ):
            file.unlink(missing_ok=True)

    # ---- pilots ---------------------------------------------------------------------------------------------------

    def look(self) -> list[Beat]:
        """Read all heartbeats, and forget those of pilots that have left."""
        with self._lock:
            present = set[str]()
            for file in (self.path / PILOTS).glob("*.json"):
                beat = self._read(f"{PILOTS}/{file.name}", Beat)
                present.add(file.stem)
                before = self._heard.get(file.stem)
                if beat is not None and (before is None or before[0].beat != beat.beat):
                    self._heard[file.stem] = (beat, self._clock())
            gap, self._looked = self._clock() - self._looked, self._clock()
            if gap > STALL:  # we have not looked meanwhile, so the gap is not the pilots' silence
                self._heard = {pilot: (beat, min(at + gap, self._looked)) for pilot, (beat, at) in self._heard.items()}
            self._heard = {pilot: heard for pilot, heard in self._heard.items() if pilot in present}
            return [beat for beat, _ in self._heard.values()]

    def silence(self, pilot: str) -> float | None:
        """Return the seconds from a pilot's newest heartbeat to the last look; None if it has left."""
        with self._lock:
            heard = self._heard.get(pilot)
            return None if heard is None else self._looked - heard[1]

    def last_beat(self, pilot: str) -> Beat | None:
        """Return the last heartbeat of a pilot that has not left."""
        with self._lock:
            heard = self._heard.get(pilot)
            return None if heard is None else heard[0]

    def bury(self, pilot: str) -> None:
        """Remove the heartbeat of a pilot that is known to have ended."""
        with self._lock:
            (self.path / PILOTS / f"{pilot}.json").unlink(missing_ok=True)
            self._heard.pop(pilot, None)

    def order(self, leave: list[str]) -> None:
        """Write the dispatcher's heartbeat, and the keys of the pilot jobs that must leave."""
        self._orders = Orders(self._orders.beat + 1, leave)
        (self.path / ORDERS).write_bytes(msgspec.json.encode(self._orders))

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            return decoded((self.path / name).read_bytes(), kind)
        except OSError:
            return None

    @staticmethod
    def _renamed(source: Path, target: Path) -> bool:
        try:
            source.rename(target)
        except OSError:
            # On a network file system a rename may succeed and still be reported as failed.
            return target.exists() and not source.exists()
        return True
