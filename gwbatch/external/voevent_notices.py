"""Parsing of GCN Classic's notices, which are VOEvents."""

from __future__ import annotations

from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.json_notices import FINAL_POSITION, MOCK, fermi_map
from gwbatch.external.missions import RETRACTION_PACKET, TEST_PACKETS, Mission, mission_of_ivorn
from gwbatch.external.voevent import VOEvent

_MOCK_TRIGGERS = {"123456"}
_LINKS = ("healpix_url", "locationmap_url", "skymap_fits")
_FLAGS_AGAINST = ("StarTrack_Lost_Lock", "Def_NOT_a_GRB")


def read_voevent(payload: bytes) -> dict[str, Any]:
    """Return the values of a `Notice` from a VOEvent.

    Raises
    ------
    BadInput
        If it is not a VOEvent of a known observatory.
    """
    found = VOEvent(payload)
    mission = mission_of_ivorn(found.ivorn)
    if mission is None:
        raise BadInput(f"Cannot tell the mission of the VOEvent: unknown mission in the ivorn {found.ivorn[:200]!r}.")
    packet = found.packet
    kind = None if packet is None else mission.kind_of_packet(packet)
    retracted = packet == RETRACTION_PACKET or found.flag("Retraction")
    trigger_id = next((text for name in mission.trigger_id if (text := (found.param(name) or "").strip())), "")
    ra, dec, radius = found.position
    return {
        "observatory": mission.observatory,
        "trigger_id": trigger_id,
        "kind": f"packet type {packet}" if kind is None else kind.name,
        "stage": (1 if kind is None else kind.stage) + (10 if retracted else 0),
        "time": found.time,
        "duration": found.number("Trig_Timescale", "Integ_Time") or 0.0,
        "ra": ra,
        "dec": dec,
        "radius": radius,
        "search": _search(found.ivorn, trigger_id, mission),
        "ivorn": found.ivorn,
        "test": found.role != "observation" or packet in TEST_PACKETS,
        "retracted": retracted,
        "skymap": _linked_map(found),
        "official_map": fermi_map(found.param("LightCurve_URL") or "") if packet == FINAL_POSITION else "",
        "evidence": {
            "most_likely": found.integer("Most_Likely_Index"),
            "most_likely_percent": found.number("Most_Likely_Prob"),
            "reliability": found.number("Reliability"),
            "unpositioned": kind is not None and not kind.positioned,
            "flags": tuple(name for name in _FLAGS_AGAINST if found.flag(name)),
            "foreign": _foreign(mission, packet),
        },
    }


def _foreign(mission: Mission, packet: int | None) -> str:
    known = [kind.packet for kind in mission.kinds]
    if packet is None or packet in known or packet == RETRACTION_PACKET or packet in TEST_PACKETS:
        return ""
    return f"{mission.observatory} packet type {packet} is not one of {', '.join(map(str, known))}"


def _search(ivorn: str, trigger_id: str, mission: Mission) -> str:
    if trigger_id in _MOCK_TRIGGERS or MOCK in trigger_id.lower() or MOCK in ivorn.lower():
        return "MDC"
    return "SubGRB" if "subthresh" in ivorn.lower() else mission.search


def _linked_map(found: VOEvent) -> str:
    links = (value for name, value in found.params.items() if name.lower() in _LINKS and "://" in value)
    return next(links, "")
