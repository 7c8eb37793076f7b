"""Building of a notice's record from what is known about a superevent (schema igwn-gwalert 1.3.0)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gwbatch.alerts.judgement import Seen, SeenExternal, is_announced_as_significant
from gwbatch.alerts.kinds import AlertKind
from gwbatch.alerts.products import Contents
from gwbatch.config.policy import Policy
from gwbatch.errors import BadInput
from gwbatch.gpstime import gps_to_utc, iso_text, unix_to_utc

LARGEST_INTEGER = 2**31 - 1  # of Avro's "int"
BURST_TABLES = {"MultiBurst": ("duration", "central_freq"), "MLyBurst": ("duration", "central_freq")}


def build(
    kind: AlertKind, seen: Seen, contents: Contents, urls: Mapping[str, str], policy: Policy, now: float
) -> dict[str, Any]:
    """Return the record of a notice, with its maps as bytes.

    Parameters
    ----------
    urls : mapping
        ``gracedb``, and ``skymap`` and ``combined_skymap`` where the maps can be downloaded.
    now : float
        When the notice is created, Unix time in s.

    Raises
    ------
    BadInput
        If the preferred event is unknown or has no FAR.
    """
    return {
        "alert_type": kind.alert_type,
        "time_created": iso_text(unix_to_utc(now), "seconds"),
        "superevent_id": str(seen.superevent.superevent_id),
        "urls": dict(urls),
        "event": _event(kind, seen, contents, policy) if kind.has_event else None,
        "external_coinc": _external(seen.external, seen.superevent.t_0, contents)
        if kind.has_event and seen.external is not None
        else None,
    }


def _event(kind: AlertKind, seen: Seen, contents: Contents, policy: Policy) -> dict[str, Any]:
    data, event = seen.data, seen.event
    if event is None or event.far is None:
        raise BadInput(f"Cannot write a notice about {seen.superevent.superevent_id}: its preferred event has no FAR.")
    group = "CBC" if event.kind == "burst.bbh" else str(data["group"])
    duration, frequency = _burst(data) if group == "Burst" else (None, None)
    return {
        "significant": is_announced_as_significant(kind, seen, policy),
        "time": iso_text(gps_to_utc(seen.superevent.t_0), "milliseconds"),
        "far": event.far,
        "instruments": _instruments(data) or sorted(event.instruments),
        "group": group,
        "pipeline": str(data["pipeline"]),
        "search": str(data.get("search") or ""),
        "classification": dict(contents.classification or {}),
        "properties": dict(contents.properties or {}),
        "mchirp_source": None if contents.mchirp_source is None else dict(contents.mchirp_source),
        "duration": duration,
        "central_frequency": frequency,
        "skymap": contents.skymap,
    }


def _instruments(data: Mapping[str, Any]) -> list[str]:
    return sorted({name.strip() for name in str(data.get("instruments") or "").split(",") if name.strip()})


def _burst(data: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return duration (s) and central frequency (Hz) of a burst, if its pipeline gives them."""
    extra = data.get("extra_attributes")
    for table, names in BURST_TABLES.items():
        row = extra.get(table) if isinstance(extra, Mapping) else None
        if isinstance(row, Mapping):
            duration, frequency = (_finite(row.get(name)) for name in names)
            return duration, frequency
    return None, None


def _external(external: SeenExternal, t_0: float, contents: Contents) -> dict[str, Any]:
    return {
        "gcn_notice_id": _notice_id(external.trigger_id),
        "ivorn": external.ivorn,
        "observatory": external.observatory,
        "search": external.search,
        "time_difference": round(external.time - t_0, 2),
        "time_coincidence_far": _finite(external.far_time),
        "time_sky_position_coincidence_far": _finite(external.far_spacetime),
        "combined_skymap": contents.combined_skymap,
    }


def _notice_id(trigger_id: str) -> int | str:
    """Return a small decimal number as an integer, and anything else (``sb27030405``) unchanged."""
    plain = trigger_id.isascii() and trigger_id.isdigit() and not (len(trigger_id) > 1 and trigger_id[0] == "0")
    return int(trigger_id) if plain and int(trigger_id[:11]) <= LARGEST_INTEGER else trigger_id


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None
