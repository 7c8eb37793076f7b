"""The clock: is it GraceDB's, and did somebody set it?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.gracedb import make_client, translate_errors
from gwbatch.ledger import clock_steps
from gwbatch.ledger.finding import Finding, Level

REMEMBER = 86400.0  # s for which a step is told
WARN, CRITICAL = 2.0, 30.0  # s
REMEDY = "have it set: chronyc tracking, timedatectl"


@check("clock steps", every=10.0, after=1.0)
def steps(place: Place) -> Iterator[Finding]:
    """Tell of what the dispatcher noticed in the last day."""
    if place.ledger is None:
        return
    now = place.clock.now()
    found = [one for one in clock_steps.noted_steps(place.ledger.connection) if abs(now - one[0]) < REMEMBER]
    if not found:
        yield Finding(Level.OK, "clock steps", "nobody has set the clock in the last day")
    for at, by in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
        text = f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by):.0f} s at {when}"
        remedy = "what waited was moved along; latencies around it are off. Let NTP slew the clock"
        yield Finding(Level.WARNING, f"clock step {at:.0f}", text, remedy)


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
