"""The file of an external event in GraceDB, which is the notice itself, as GraceDB's own translator reads it."""

from __future__ import annotations

import json

from gwbatch.external.notices import Notice
from gwbatch.gpstime import gps_to_utc


def event_file(payload: bytes, notice: Notice) -> bytes:
    """Return the notice as received; for a targeted search, set the trigger time to the centre of the interval."""
    if not notice.centred:
        return payload
    content = json.loads(payload)
    content["trigger_time"] = gps_to_utc(notice.time).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps(content, indent=1).encode()
