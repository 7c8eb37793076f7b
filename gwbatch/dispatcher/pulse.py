"""Waking up within milliseconds of any commit to the ledger, by whichever process."""

from __future__ import annotations

import threading

from gwbatch.ledger import Ledger

INTERVAL = 0.01  # s between two looks; one look costs a few microseconds


class Pulse:
    """Notices commits (SQLite's ``data_version``) and wakes whoever waits."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._condition = threading.Condition()
        self._generation = 0

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`."""
        last = -1
        while not stop.wait(INTERVAL):
            version = self._ledger.connection.execute("PRAGMA data_version").fetchone()[0]
            if version != last:
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
