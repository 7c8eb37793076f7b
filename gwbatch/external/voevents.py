"""Notices of GCN Classic as VOEvents: what stands where."""

from __future__ import annotations

from math import isfinite
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.json_notices import FINAL_POSITION, MOCK, fermi_map
from gwbatch.external.missions import RETRACTION_PACKET, TEST_PACKETS, Mission, mission_of_ivorn
from gwbatch.gpstime import gps_of
from gwbatch.voevent import parse_voevent

_MOCK_TRIGGERS = {"123456"}
_FLAGS_AGAINST = ("StarTrack_Lost_Lock", "Def_NOT_a_GRB")


def read_voevent(payload: bytes) -> dict[str, Any]:
    """Return the values of a `Notice` from a VOEvent.

    Raises
    ------
    BadInput
        When it is no VOEvent of an observatory that is known here.
    """
    root = parse_voevent(payload)
    ivorn = str(root.get("ivorn") or "")
    mission = mission_of_ivorn(ivorn)
    if mission is None:
        raise BadInput(f"Cannot tell the mission of the VOEvent: unknown mission in the ivorn {ivorn[:200]!r}.")
    packet = _integer(_param(root, "Packet_Type"))
    kind = None if packet is None else mission.kind_of_packet(packet)
    retracted = packet == RETRACTION_PACKET or _flag(root, "Retraction")
    trigger_id = _trigger_id(root, mission)
    ra, dec, radius = _position(root)
    return {
        "observatory": mission.observatory,
        "trigger_id": trigger_id,
        "kind": f"packet type {packet}" if kind is None else kind.name,
        "stage": (1 if kind is None else kind.stage) + (10 if retracted else 0),
        "time": gps_of((root.findtext(".//WhereWhen//ISOTime") or "").strip()),
        "duration": _first_number(root, "Trig_Timescale", "Integ_Time") or 0.0,
        "ra": ra,
        "dec": dec,
        "radius": radius,
        "search": _search(ivorn, trigger_id, mission),
        "ivorn": ivorn,
        "test": str(root.get("role") or "observation").lower() != "observation" or packet in TEST_PACKETS,
        "retracted": retracted,
        "skymap": _linked_map(root),
        "official_map": fermi_map(_param(root, "LightCurve_URL") or "") if packet == FINAL_POSITION else "",
        "evidence": {
            "most_likely": _integer(_param(root, "Most_Likely_Index")),
            "most_likely_percent": _number(_param(root, "Most_Likely_Prob")),
            "reliability": _number(_param(root, "Reliability")),
            "unpositioned": kind is not None and not kind.positioned,
            "flags": tuple(name for name in _FLAGS_AGAINST if _flag(root, name)),
            "foreign": _foreign(mission, packet),
        },
    }


def _foreign(mission: Mission, packet: int | None) -> str:
    known = [kind.packet for kind in mission.kinds]
    if packet is None or packet in known or packet == RETRACTION_PACKET or packet in TEST_PACKETS:
        return ""
    return f"{mission.observatory} packet type {packet} is not one of {', '.join(map(str, known))}"


def _trigger_id(root: Any, mission: Mission) -> str:
    for name in mission.trigger_id:
        group, _, param = name.rpartition("/")
        value = _grouped(root, group, param) if group else _param(root, param)
        if value and value.strip():
            return value.strip()
    return ""


def _search(ivorn: str, trigger_id: str, mission: Mission) -> str:
    if trigger_id in _MOCK_TRIGGERS or MOCK in trigger_id.lower() or MOCK in ivorn.lower():
        return "MDC"
    return "SubGRB" if "subthresh" in ivorn.lower() else mission.search


def _position(root: Any) -> tuple[float | None, float | None, float | None]:
    """Return right ascension, declination and error radius (deg); a notice without a position has zeros for it."""
    place = root.find(".//WhereWhen//Position2D")
    if place is None:
        return None, None, None
    ra, dec = _number(place.findtext("./Value2/C1")), _number(place.findtext("./Value2/C2"))
    error = _number(place.findtext("./Error2Radius"))
    if ra is None or dec is None or (ra == 0 and dec == 0 and not error):
        return None, None, None
    return ra, dec, error


def _linked_map(root: Any) -> str:
    for param in root.iterfind(".//What//Param"):
        name, value = str(param.get("name") or ""), str(param.get("value") or "")
        if "://" in value and name.lower() in ("healpix_url", "locationmap_url", "skymap_fits"):
            return value
    return ""


def _param(root: Any, name: str) -> str | None:
    for param in root.iterfind(".//What//Param"):
        if param.get("name") == name:
            return str(param.get("value") or "")
    return None


def _grouped(root: Any, group: str, name: str) -> str | None:
    for found in root.iterfind(".//What//Group"):
        if found.get("name") == group:
            for param in found.iterfind("./Param"):
                if param.get("name") == name:
                    return str(param.get("value") or "")
    return None


def _flag(root: Any, name: str) -> bool:
    return (_param(root, name) or "").lower() in ("true", "1")


def _first_number(root: Any, *names: str) -> float | None:
    return next((value for name in names if (value := _number(_param(root, name))) is not None), None)


def _number(text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError as error:
        raise BadInput(f"Invalid VOEvent: {text[:40]!r} is not a number.") from error
    if not isfinite(value):
        raise BadInput(f"Invalid VOEvent: {text[:40]!r} is not a finite number.")
    return value


def _integer(text: str | None) -> int | None:
    value = _number(text)
    if value is None:
        return None
    if abs(value) > 1e9:
        raise BadInput(f"Invalid VOEvent: {text!r} is not the number of a kind.")
    return int(value)
