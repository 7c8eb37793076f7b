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
STALL = 5.0  # s between two looks, above which nobody has listened
KEEP_REVOKED = 7 * 86400.0  # s


class StandbyFolder:
    """Where tasks are offered, and where pilots say that they live.

    Parameters
    ----------
    clock : callable
        Monotonic time in s: silence is judged by the dispatcher's own clock, never by a node's.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = private_folder(path)
        for name in FOLDERS:
            private_folder(path / name)
        self._clock = clock
        self._lock = threading.RLock()
        self._looked = clock()
        self._heard: dict[str, tuple[Beat, float]] = {}  # pilot: its last heartbeat, and when that was new
        orders = self._read(ORDERS, Orders)
        self._orders = orders or Orders(0)
        # What a dispatcher that was killed has left: `find` is asked before it is offered again.
        for left in (path / INBOX).glob("*"):
            with contextlib.suppress(SchedulerBusy):  # nothing of ours
                self.withdraw(left.name)
        for old in (path / REVOKED).glob("*"):
            if time.time() - old.stat().st_mtime > KEEP_REVOKED:
                old.unlink(missing_ok=True)

    # ---- tasks ----------------------------------------------------------------------------------------------------

    def offer(self, name: str, task: Task) -> None:
        """Put a task into the inbox, whole."""
        partial = self.path / f".{name}"
        with partial.open("wb") as stream:
            stream.write(msgspec.json.encode(task))
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(self.path / INBOX / name)

    def withdraw(self, name: str) -> bool:
        """Take a task back; False when a pilot has it, or nobody ever offered it.

        Raises
        ------
        SchedulerBusy
            When the task cannot be taken back and may still be claimed.
        """
        try:
            (self.path / INBOX / name).unlink()  # on a full disk, too
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SchedulerBusy(f"Cannot take back what pilots were offered: {error}.") from error
        return True

    def offered(self, name: str) -> bool:
        """Return whether nobody has claimed a task yet."""
        return (self.path / INBOX / name).exists()

    def revoke(self, name: str, pilot: str) -> bool:
        """Take a claimed task away from a pilot; whatever it still delivers counts for nothing."""
        return self._renamed(self.path / TAKEN / f"{name}.{pilot}", self.path / REVOKED / f"{name}.{pilot}")

    def claim(self, name: str, pilot: str) -> Task | None:
        """Return a task as the pilot has noted it; None when the pilot does not have it."""
        return self._read(f"{TAKEN}/{name}.{pilot}", Task)

    def has_claimed(self, name: str, pilot: str) -> bool:
        """Return whether this pilot has a task."""
        return (self.path / TAKEN / f"{name}.{pilot}").exists()

    def claims(self) -> Iterator[tuple[str, str, Task]]:
        """Yield all claimed tasks: name, pilot and task."""
        for file in (self.path / TAKEN).glob("*"):
            parts = claim_parts(file.name)
            task = self.claim(*parts) if parts else None
            if parts and task:
                yield (*parts, task)

    def forget(self, name: str, pilot: str) -> None:
        """Remove what is left of a task that has ended and was counted."""
        for file in (
            self.path / TAKEN / f"{name}.{pilot}",
            self.path / REVOKED / f"{name}.{pilot}",
        ):
            file.unlink(missing_ok=True)

    # ---- pilots ---------------------------------------------------------------------------------------------------

    def look(self) -> list[Beat]:
        """Read all heartbeats; those of pilots that have left are forgotten."""
        with self._lock:
            present = set[str]()
            for file in (self.path / PILOTS).glob("*.json"):
                beat = self._read(f"{PILOTS}/{file.name}", Beat)
                present.add(file.stem)
                before = self._heard.get(file.stem)
                if beat is not None and (before is None or before[0].beat != beat.beat):
                    self._heard[file.stem] = (beat, self._clock())
            gap, self._looked = self._clock() - self._looked, self._clock()
            if gap > STALL:  # nobody has listened meanwhile: that was not their silence
                self._heard = {pilot: (beat, min(at + gap, self._looked)) for pilot, (beat, at) in self._heard.items()}
            self._heard = {pilot: heard for pilot, heard in self._heard.items() if pilot in present}
            return [beat for beat, _ in self._heard.values()]

    def silence(self, pilot: str) -> float | None:
        """Return the seconds from a pilot's newest heartbeat to the last look; None when it has left."""
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
        """Say that the dispatcher lives, and which pilots' jobs shall leave."""
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
