"""Announcing a task to a pilot that does not poll its inbox."""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol

from gwbatch.jobs.standby.layout import Beat


class Bell(Protocol):
    """A way to tell a pilot."""

    def ring(self, pilot: Beat, name: str, seconds: float) -> None:
        """Tell it of a task, and wait for its answer; what has become of the task, the folder says."""
        ...


class SocketBell:
    """A pilot on this machine."""

    def ring(self, pilot: Beat, name: str, seconds: float) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as bell:
            bell.settimeout(seconds)
            bell.connect(pilot.socket)
            bell.sendall(name.encode() + b"\n")
            bell.recv(100)
