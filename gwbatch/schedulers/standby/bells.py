"""Bells, which announce a task to a pilot that does not poll the inbox."""

from __future__ import annotations

import socket
from typing import Protocol

from gwbatch.jobs.standby.layout import Beat


class Bell(Protocol):
    """A way to announce a task to a pilot."""

    def ring(self, pilot: Beat, name: str, seconds: float) -> str:
        """Announce a task, and wait at most `seconds` for an answer; the folder shows whether the pilot claimed it.

        Returns
        -------
        str
            Why the pilot could not be reached; empty if it answered, whether or not it claimed the task.
        """
        ...


class SocketBell:
    """A bell for pilots on this machine."""

    def ring(self, pilot: Beat, name: str, seconds: float) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as bell:
                bell.settimeout(seconds)
                bell.connect(pilot.socket)
                bell.sendall(name.encode() + b"\n")
                bell.recv(100)
        except OSError as error:
            return f"its socket does not answer: {error}"
        return ""
