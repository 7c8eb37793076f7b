"""Announcing a task to a pilot that does not poll its inbox."""

from __future__ import annotations

import socket
from typing import Protocol

from gwbatch.jobs.standby.layout import Beat


class Bell(Protocol):
    """A way to tell a pilot."""

    def ring(self, pilot: Beat, name: str, seconds: float) -> str:
        """Tell a pilot of a task and wait for its answer; the folder says what has become of the task.

        Returns
        -------
        str
            Why the pilot could not be reached; empty when it answered, whether or not it took the task.
        """
        ...


class SocketBell:
    """A pilot on this machine."""

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
