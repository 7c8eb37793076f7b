"""Clocks to pass as arguments: the machine's, the same guarded against being set, and one for tests and simulations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

STEP = 1.0  # s; NTP adjusts a clock in smaller steps, so a larger one means that somebody set it


def elapsed() -> float:
    """Return the seconds since the machine booted, including suspend, on a clock that nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> float:
        """Return the Unix time in seconds."""
        ...

    def steady(self) -> float:
        """Return the seconds since an arbitrary moment, for durations that are not stored; they never jump."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        return time.time()

    def steady(self) -> float:
        return elapsed()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class GuardedClock:
    """The clock of this machine, which ignores that somebody set it until `accept` is called.

    Meanwhile the times in a ledger can be shifted, so that the step makes nothing late or early.
    """

    def __init__(self, wall: Callable[[], float] | None = None, elapsed: Callable[[], float] = elapsed) -> None:
        self._wall, self._elapsed = wall or SystemClock().now, elapsed
        told, since_boot = self._read()
        self._offset = told - since_boot
        self._lock = threading.Lock()  # a slew must not overwrite an accepted step, which would be accepted twice

    def now(self) -> float:
        wall, since_boot = self._read()
        return wall - self._step(wall, since_boot)

    def steady(self) -> float:
        return self._elapsed()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def step(self) -> float:
        """Return by how much the clock was set and not yet accepted (s); 0 if nobody set it."""
        return self._step(*self._read())

    def accept(self, step: float) -> None:
        """Follow the new time from now on."""
        with self._lock:
            self._offset += step

    @property
    def offset(self) -> float:
        """Unix time at which the machine booted, according to this clock (s)."""
        return self._offset

    def _read(self) -> tuple[float, float]:
        """Read both clocks at the same moment; read again if the process was stopped in between."""
        while True:
            before, wall = self._elapsed(), self._wall()
            if self._elapsed() - before < STEP / 10:
                return wall, before

    def _step(self, wall: float, since_boot: float) -> float:
        with self._lock:
            step = wall - since_boot - self._offset
            if abs(step) > STEP:
                return step
            self._offset += step  # a slew by NTP
            return 0.0


class ManualClock:
    """A clock that moves only when a test or a simulation moves it."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def steady(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`."""
        if seconds < 0:
            raise ValueError("cannot move the clock backwards")
        self._now += seconds
