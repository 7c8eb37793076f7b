"""Notices of GCN Classic as VOEvents: what stands where."""

from __future__ import annotations

from typing import Any

from gwbatch.errors import BadInput
from gwbatch.gpstime import gps_of
from gwbatch.voevent import parse_voevent

# Notice types that concern external triggers, and how far the analysis has come in each.
VOEVENT_TYPES: dict[int, tuple[str, int]] = {
    60: ("SWIFT_BAT_GRB_ALERT", 0),
    61: ("SWIFT_BAT_GRB_POS_ACK", 2),
    110: ("FERMI_GBM_ALERT", 0),
    111: ("FERMI_GBM_FLT_POS", 1),
    112: ("FERMI_GBM_GND_POS", 2),
    115: ("FERMI_GBM_FIN_POS", 3),
    131: ("FERMI_GBM_SUBTHRESH", 1),
    149: ("SNEWS", 1),
    202: ("SVOM_ECLAIRS", 2),
}
RETRACTIONS = {164}

_OBSERVATORIES = {"swift": "Swift", "fermi": "Fermi", "fsc": "SVOM", "snews": "SNEWS"}
_MDC_TRIGGERS = {"123456"}

NO_POSITION_YET = 110
MOST_LIKELY_GRB = 4
MOST_LIKELY_PERCENT = 50
RELIABLE_ABOVE = 4


def read_voevent(payload: bytes) -> dict[str, Any]:
    """The values of a `Notice` from a VOEvent.

    Raises
    ------
    BadInput
        When it is no VOEvent of an observatory that is known here.
    """
    root = parse_voevent(payload)
    ivorn = str(root.get("ivorn") or "")
    observatory = _observatory(ivorn)
    packet = _integer(_param(root, "Packet_Type"))
    kind, stage = VOEVENT_TYPES.get(packet or -1, (f"packet type {packet}", 1))
    test = str(root.get("role") or "") == "test"
    reasons = tuple(_reasons(root, packet))
    retracted = packet in RETRACTIONS or _param(root, "Retraction") in ("true", "True", "1")
    ra, dec, error = _position(root)
    return {
        "observatory": observatory,
        "trigger_id": _trigger_id(root, observatory),
        "kind": kind,
        "stage": stage + (10 if retracted else 0),
        "time": _time(root),
        "duration": _first_number(root, "Trig_Timescale", "Integ_Time") or 0.0,
        "ra": ra,
        "dec": dec,
        "error": error,
        "search": _search(root, ivorn, observatory),
        "test": test,
        "grb": not reasons,
        "reasons": reasons,
        "retracted": retracted,
        "drop": _drop(root, observatory, packet),
        "skymap": _linked_map(root),
    }


def _observatory(ivorn: str) -> str:
    path = ivorn.partition("://")[2].lower()
    for part in path.replace("#", "/").split("/"):
        for name, observatory in _OBSERVATORIES.items():
            if part.startswith(name):
                return observatory
    raise BadInput(f"a notice of an unknown mission: {ivorn[:200]!r}")


def _trigger_id(root: Any, observatory: str) -> str:
    if observatory == "SVOM":
        return (_grouped(root, "Svom_Identifiers", "Burst_Id") or "").strip()
    return (_param(root, "TrigID") or _param(root, "Trans_Num") or "").strip()


def _search(root: Any, ivorn: str, observatory: str) -> str:
    if "subthresh" in ivorn.lower():
        return "SubGRB"
    if _param(root, "TrigID") in _MDC_TRIGGERS:
        return "MDC"
    return "Supernova" if observatory == "SNEWS" else "GRB"


def _reasons(root: Any, packet: int | None) -> list[str]:
    """Why this is no gamma-ray burst, as far as is known now."""
    reasons = []
    index = _integer(_param(root, "Most_Likely_Index"))
    percent = _number(_param(root, "Most_Likely_Prob"))
    if index is not None and index != MOST_LIKELY_GRB:
        reasons.append(f"most likely source {index}, a burst would be {MOST_LIKELY_GRB}")
    if percent is not None and percent < MOST_LIKELY_PERCENT:
        reasons.append(f"most likely source at {percent:g} %")
    if packet == NO_POSITION_YET:
        reasons.append("no position yet")
    return [*reasons, *(flag for flag in ("StarTrack_Lost_Lock", "Def_NOT_a_GRB") if _flag(root, flag))]


def _drop(root: Any, observatory: str, packet: int | None) -> str:
    reliability = _number(_param(root, "Reliability"))
    if reliability is not None and reliability <= RELIABLE_ABOVE:
        return f"reliability {reliability:g}, wanted is more than {RELIABLE_ABOVE}"
    if observatory == "SVOM" and packet != 202:
        return f"SVOM packet type {packet}, wanted is 202"
    return ""


def _time(root: Any) -> float:
    text = (root.findtext(".//WhereWhen//ISOTime") or "").strip()
    return gps_of(text)


def _position(root: Any) -> tuple[float | None, float | None, float | None]:
    """Right ascension, declination and 1-sigma radius (deg); a notice without a position has zeros for it."""
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
        if value.startswith("https://") and name.lower() in ("healpix_url", "locationmap_url", "skymap_fits"):
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
        return float(text)
    except ValueError as error:
        raise BadInput(f"{text[:40]!r} is no number") from error


def _integer(text: str | None) -> int | None:
    value = _number(text)
    if value is None:
        return None
    if value != value or abs(value) > 1e9:
        raise BadInput(f"{text!r} is no number of a kind")
    return int(value)
