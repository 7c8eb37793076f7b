"""The clock check: whether this machine's clock agrees with GraceDB's."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.gracedb import make_client, translate_errors
from gwbatch.reports.finding import Finding, Level

WARN, CRITICAL = 2.0, 30.0  # s
REMEDY = "fix the time synchronization: chronyc tracking, timedatectl"


@check("clock", every=300.0)
def clock(place: Place) -> Iterator[Finding]:
    """Compare this machine's clock with the Date header of a GraceDB response."""
    settings = place.profile.gracedb
    if not settings.url:
        return
    client = make_client(settings)
    try:
        before = place.clock.now()
        with translate_errors("tell the time"):
            date = client.request("GET", settings.url).headers.get("Date")
        after = place.clock.now()
    except GwbatchError:
        return  # the gracedb check reports it
    finally:
        client.close()
    if date is None:
        return
    ahead = (before + after) / 2 - (parsedate_to_datetime(date).timestamp() + 0.5)
    unsure = 0.5 + (after - before) / 2
    off = max(abs(ahead) - unsure, 0.0)
    if off <= WARN:
        yield Finding(Level.OK, "clock", f"the clock agrees with GraceDB's within {abs(ahead) + unsure:.1f} s")
        return
    level = Level.CRITICAL if off > CRITICAL else Level.WARNING
    text = f"the clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} GraceDB's"
    yield Finding(level, "clock of gracedb", text, REMEDY)
