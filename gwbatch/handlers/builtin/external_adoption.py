"""External events that somebody else made in GraceDB, in the form of notices."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external import MISSIONS, parse_notice
from gwbatch.gpstime import gps_to_utc
from gwbatch.superevents.candidate import finite

_TELLING = ("new", "update", "label_added", "label_removed")
_PIPELINES = {mission.observatory for mission in MISSIONS}


def look_up(alert: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the object of an alert that is about an external event worth taking over, else None."""
    data = alert.get("object")
    if alert.get("alert_type") not in _TELLING or not isinstance(data, Mapping):
        return None
    if data.get("pipeline") not in _PIPELINES or data.get("processing_status") == "reserved":
        return None
    return dict(data) if isinstance(data.get("graceid"), str) and finite(data.get("gpstime")) is not None else None


def notice_in_gracedb(data: Mapping[str, Any], message: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the notice that an event was made from; where it cannot be read, what GraceDB itself says, vetoed.

    Parameters
    ----------
    data : mapping
        The event as GraceDB describes it.
    message : mapping
        With the event's file, ``filename`` and ``content`` (base64), where it could be had.
    """
    topic = str(message.get("filename") or "")
    if message.get("content") is None:
        return topic, _described(data, "its event file could not be read from GraceDB")
    content = base64.b64decode(message["content"])
    try:
        notice = parse_notice(topic, content)
    except BadInput as error:
        return topic, _described(data, f"its event file cannot be read: {error}")
    said, kept = (notice.test, notice.search == "MDC"), (data.get("group") == "Test", data.get("search") == "MDC")
    if notice.observatory != data.get("pipeline") or said != kept:
        return topic, _described(data, "its event file and GraceDB disagree about what it is")
    return topic, content


def _described(data: Mapping[str, Any], veto: str) -> bytes:
    """A notice of what GraceDB says of an event, which can never lead to an announcement."""
    extra = data.get("extra_attributes")
    grb = extra.get("GRB") if isinstance(extra, Mapping) else None
    found = grb if isinstance(grb, Mapping) else {}
    notice = {
        "mission": data.get("pipeline"),
        "id": str(found.get("trigger_id") or data["graceid"]),
        "trigger_time": gps_to_utc(float(data["gpstime"])).isoformat(),
        "ra": finite(found.get("ra")),
        "dec": finite(found.get("dec")),
        "ra_dec_error": finite(found.get("error_radius")),
        "is_mdc": data.get("search") == "MDC",
        "alert_tense": "test" if data.get("group") == "Test" else "current",
        "gwbatch_veto": veto[:300],
    }
    return json.dumps(notice, sort_keys=True).encode()
