"""Waking up within milliseconds of any commit to the ledger, by whichever process."""

from __future__ import annotations

import threading

from gwbatch.ledger import Ledger

INTERVAL = 0.1  # s after which it looks although nobody rang


class WakeUp:
    """Notices commits and wakes whoever waits.

    The ledger's doorbell tells of them at once; SQLite's ``data_version`` of those whose ring was lost.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._condition = threading.Condition()
        self._generation = 0

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`."""
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
        """Wake everybody."""
        with self._condition:
            self._generation += 1
            self._condition.notify_all()

    @property
    def generation(self) -> int:
        """Grows with every commit noticed."""
        return self._generation

    def wait(self, seen: int, timeout: float) -> int:
        """Wait until something was committed after generation `seen`, or `timeout` seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._generation != seen, timeout)
            return self._generation
