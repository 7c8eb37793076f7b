"""Notices of external events that somebody else created in GraceDB, combined with what GraceDB says about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.notices import Notice, parse_notice
from gwbatch.gpstime import gps_to_utc

_WEAKER_FIRST = ("SubGRB", "SubGRBTargeted")


def said_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a GraceDB event that count in addition to its file."""
    return {name: data.get(name) for name in ("group", "search", "gpstime", "pipeline")}


def as_in_gracedb(notice: Notice, said: Mapping[str, Any]) -> Notice:
    """Return a notice updated with what GraceDB says about its event.

    Either of the two can mark a test or a mock, and of two searches the more restrictive one applies.  The time is the
    event's, because its creator has already centred it where necessary.
    """
    kept = str(said.get("search") or notice.search)
    search = next((weak for weak in _WEAKER_FIRST if weak in (kept, notice.search)), notice.search)
    search = "MDC" if "MDC" in (kept, notice.search) else kept if notice.described else search
    time = float(said["gpstime"])
    return replace(notice, search=search, test=notice.test or said.get("group") == "Test", time=time, centred=False)


def notice_of_event(data: Mapping[str, Any], topic: str, content: bytes | None) -> bytes:
    """Return the notice that an event was created from or, if that cannot be read, a vetoed one with GraceDB's data.

    Parameters
    ----------
    data : mapping
        The event as GraceDB describes it.
    topic : str
        Name of its file.
    content : bytes or None
        Content of the file, if it was available.
    """
    if content is None:
        return _described(data, "its event file could not be read from GraceDB")
    try:
        notice = parse_notice(topic, content)
    except BadInput as error:
        return _described(data, f"its event file cannot be read: {error}")
    if notice.observatory != data.get("pipeline"):
        return _described(data, f"its event file is a notice of {notice.observatory}")
    return content


def _described(data: Mapping[str, Any], veto: str) -> bytes:
    """Build a notice from what GraceDB says about an event, with a veto against its announcement."""
    extra = data.get("extra_attributes")
    grb = extra.get("GRB") if isinstance(extra, Mapping) else None
    found = grb if isinstance(grb, Mapping) else {}
    notice = {
        "mission": data.get("pipeline"),
        "id": str(found.get("trigger_id") or data["graceid"]),
        "trigger_time": gps_to_utc(float(data["gpstime"])).isoformat(),
        "ra": _number(found.get("ra")),
        "dec": _number(found.get("dec")),
        "ra_dec_error": _number(found.get("error_radius")),
        "gwbatch_veto": veto[:300],
    }
    return json.dumps(notice, sort_keys=True).encode()


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if good else None
