"""The ledger's doorbell, which every commit rings so that waiting threads need not poll."""

from __future__ import annotations

import errno
import os
import select
import threading
from pathlib import Path


class Doorbell:
    """A named pipe.  Ringing never waits and never fails; without a listener it does nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._out: int | None = None
        self._in: int | None = None
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Announce a commit that has changed something."""
        with self._lock:
            try:
                if self._out is None:
                    self._out = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
                os.write(self._out, b".")
            except OSError as error:
                # No pipe, no listener, or a pipe already full of rings: none of these matters.
                if error.errno != errno.EAGAIN:
                    self._hang_up()

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, and return whether there was one.  Only the dispatcher listens."""
        if self._in is None:
            try:
                os.mkfifo(self._path, 0o600)
            except FileExistsError:
                pass
            self._in = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        bell = select.poll()  # select() cannot handle a descriptor above 1023
        bell.register(self._in, select.POLLIN)
        rung = bool(bell.poll(seconds * 1000))
        if rung:
            try:
                os.read(self._in, 65536)
            except BlockingIOError:
                pass  # another thread read it first
        return rung

    def close(self) -> None:
        """Close both ends of the pipe."""
        with self._lock:
            self._hang_up()
        if self._in is not None:
            os.close(self._in)
            self._in = None

    def _hang_up(self) -> None:
        if self._out is not None:
            os.close(self._out)
            self._out = None
