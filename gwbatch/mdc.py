"""Mock data: a simulated event that comes with gwbatch, as if it had just been detected."""

from __future__ import annotations

import re
from typing import Any

from gwbatch.config.resources import demo_event
from gwbatch.errors import BadInput

EVENTS = ("bns_hlv", "nsbh_hl", "bbh_hlv")
FAR = 1.0e-13  # Hz: what the field's own mock events have
REACH = 2  # s around the end time within which every number is one of the event's times

_END_TIME = re.compile(rb'Name="coinc_inspiral:table"[^>]*>\s*\d+,[^,]+,(\d+),')
_SECONDS = re.compile(rb"(?<![\d.])\d{9,10}(?=[.,<])")
_FAR = re.compile(rb'(Name="coinc_inspiral:table"[^>]*>\s*\d+,)([^,]+)(,)')


def mock_event(number: int, gps: float, far: float = FAR) -> bytes:
    """Return a coincidence file of one of the simulated events, detected in the second of a GPS time (s).

    Parameters
    ----------
    number : int
        Which one; they take turns.
    """
    content = demo_event(EVENTS[number % len(EVENTS)]).read_bytes()
    return _FAR.sub(lambda match: match[1] + repr(far).encode() + match[3], shifted(content, gps), count=1)


def shifted(coinc: bytes, gps: float) -> bytes:
    """Return a coincidence file with all its times moved by whole seconds, so that it ends in the second of `gps`.

    Raises
    ------
    BadInput
        If it has no coincidence table of the kind that the simulated events have.
    """
    found = _END_TIME.search(coinc)
    if found is None:
        raise BadInput("Cannot shift the event in time: it is not one of the simulated coincidences.")
    end = int(found[1])
    move = int(gps) - end

    def moved(match: re.Match[bytes]) -> bytes:
        seconds = int(match[0])
        return str(seconds + move).encode() if abs(seconds - end) <= REACH else match[0]

    return _SECONDS.sub(moved, coinc)


def upload(client: Any, number: int, gps: float) -> str:
    """Upload a mock event to GraceDB, as the pipeline gstlal does; return its GraceDB ID."""
    answer = client.create_event("CBC", "gstlal", "coinc.xml", search="MDC", filecontents=mock_event(number, gps))
    return str(answer.json()["graceid"])
