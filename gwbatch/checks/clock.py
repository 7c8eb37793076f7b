"""The clock: is it GraceDB's, and has somebody set it?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.gracedb import make_client, translate_errors
from gwbatch.ledger.finding import Finding, Level

STEP = 1.0  # s by which a clock that is kept by NTP is never set at once
REMEMBER = 86400.0  # s for which a step is told
WARN, CRITICAL = 2.0, 30.0  # s
REMEDY = "have it set: chronyc tracking, timedatectl"


class Steps:
    """Notices that the clock was set, or the machine slept, by the clock that nobody sets."""

    def __init__(self) -> None:
        self._offset: float | None = None
        self._seen: list[tuple[float, float]] = []

    def look(self, wall: float, monotonic: float) -> list[tuple[float, float]]:
        """Return when (Unix time in s) and by how much (s) the clock was set lately."""
        offset = wall - monotonic
        if self._offset is not None and abs(offset - self._offset) > STEP:
            self._seen.append((wall, offset - self._offset))
        self._offset = offset
        self._seen = [(at, by) for at, by in self._seen if abs(wall - at) < REMEMBER]
        return list(self._seen)


_steps = Steps()


@check("clock steps", every=10.0, after=0.0)
def steps(place: Place) -> Iterator[Finding]:
    """Compare the clock with the time since the machine was started."""
    found = _steps.look(place.clock.now(), time.monotonic())
    if not found:
        yield Finding(Level.OK, "clock steps", "nobody has set the clock since the dispatcher started")
    for at, by in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
        way = "forward, or the machine slept," if by > 0 else "back"
        text = f"the clock was set {way} by {abs(by):.0f} s (noticed at {when})"
        yield Finding(Level.WARNING, f"clock step {at:.0f}", text, "times around it are off; let NTP slew the clock")


@check("clock", every=300.0)
def clock(place: Place) -> Iterator[Finding]:
    """Compare the clock with the date in an answer of GraceDB."""
    settings = place.profile.gracedb
    if not settings.url:
        return
    client = make_client(settings)
    try:
        before = place.clock.now()
        with translate_errors("tell the time"):
            told = client.request("GET", settings.url).headers.get("Date")
        after = place.clock.now()
    except GwbatchError:
        return  # the check of GraceDB says so
    finally:
        client.close()
    if told is None:
        return
    ahead = (before + after) / 2 - (parsedate_to_datetime(told).timestamp() + 0.5)
    unsure = 0.5 + (after - before) / 2
    off = max(abs(ahead) - unsure, 0.0)
    if off <= WARN:
        yield Finding(Level.OK, "clock", f"the clock agrees with GraceDB's within {abs(ahead) + unsure:.1f} s")
        return
    level = Level.CRITICAL if off > CRITICAL else Level.WARNING
    text = f"the clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} GraceDB's"
    yield Finding(level, "clock of gracedb", text, REMEDY)
