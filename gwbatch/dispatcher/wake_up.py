"""Wake-up of idle threads within milliseconds of a commit to the ledger by any process."""

from __future__ import annotations

import threading

from gwbatch.ledger import Ledger

INTERVAL = 0.2  # s between looks at the ledger without a ring
IDLE = 0.5  # s after which an idle thread looks for work without a wake-up
RARELY = 5.0  # s after which it does so while another one with the same work looks


class WakeUp:
    """Notices commits and wakes the waiting threads.

    The ledger's doorbell announces commits at once. SQLite's ``data_version`` reveals those whose ring was lost.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._condition = threading.Condition()
        self._generation = 0

    def run(self, stop: threading.Event) -> None:
        """Watch for commits until `stop` is set."""
        doorbell = self._ledger.doorbell
        assert doorbell is not None  # a dispatcher's ledger is a file
        last = -1
        while not stop.is_set():
            rung = doorbell.wait(INTERVAL)
            version = self._ledger.connection.execute("PRAGMA data_version").fetchone()[0]
            if rung or version != last:
                last = version
                self.wake()
        self.wake()

    def wake(self) -> None:
        """Wake all waiting threads."""
        with self._condition:
            self._generation += 1
            self._condition.notify_all()

    @property
    def generation(self) -> int:
        """A number that grows with every commit noticed."""
        return self._generation

    def wait(self, seen: int, timeout: float) -> int:
        """Wait for a commit after generation `seen`, at most `timeout` seconds, and return the new generation."""
        with self._condition:
            self._condition.wait_for(lambda: self._generation != seen, timeout)
            return self._generation


class Lookout:
    """Of idle threads with the same work, only one looks for it without a wake-up.

    It must claim what it finds in the ledger before it begins, because that commit wakes the others, and one of them is
    the next to look.
    """

    def __init__(self, wake_up: WakeUp) -> None:
        self._wake_up = wake_up
        self._looking = threading.Lock()

    def wait(self, seen: int) -> None:
        """Wait for a commit after generation `seen`, or until it is time to look."""
        looks = self._looking.acquire(blocking=False)
        try:
            self._wake_up.wait(seen, IDLE if looks else RARELY)
        finally:
            if looks:
                self._looking.release()
