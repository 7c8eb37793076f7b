"""Notices of GCN as JSON: the published schemas, with what is optional and what varies among missions."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.gpstime import gps_of

# topic: (observatory, search)
JSON_TOPICS: dict[str, tuple[str, str]] = {
    "gcn.notices.swift.bat.guano": ("Swift", "SubGRBTargeted"),
    "gcn.notices.fermi.gbm.targeted": ("Fermi", "SubGRBTargeted"),
    "gcn.notices.svom.voevent.eclairs": ("SVOM", "GRB"),
    "gcn.notices.icecube.gold_bronze_track_alerts": ("IceCube", "HEN"),
    "gcn.notices.chime.frb": ("CHIME", "FRB"),
    "gcn.notices.einstein_probe.wxt.alert": ("EinsteinProbe", "GRB"),
}

_MISSIONS = {
    "swift": "Swift", "fermi": "Fermi", "svom": "SVOM", "icecube": "IceCube", "chime": "CHIME",
    "einstein probe": "EinsteinProbe", "einstein_probe": "EinsteinProbe",
}  # fmt: skip
_NO_TEST = ("current", "archival", "")
LEAST_CONTAINED = 1e-6
_STAGES = {"initial": 0, "subsequent": 1, "update": 2, "retraction": 10}


def read_json(topic: str, notice: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a `Notice` from a JSON notice.

    Raises
    ------
    BadInput
        When it lacks a trigger time or id, or names a mission that its topic does not belong to.
    """
    observatory, search = JSON_TOPICS[topic]
    mission = notice.get("mission")  # some missions leave it out
    if mission is not None and _MISSIONS.get(str(mission).lower()) != observatory:
        raise BadInput(f"a notice of the mission {str(mission)[:60]!r} on the topic {topic}")
    kind = str(notice.get("alert_type") or "initial")
    if kind not in _STAGES:
        raise BadInput(f"the alert_type {kind[:40]!r}")
    search = _guano(notice, search)
    ra, dec = _number(notice, "ra"), _number(notice, "dec")
    return {
        "observatory": observatory,
        "trigger_id": _id(notice),
        "kind": topic,
        "stage": _STAGES[kind] + (0 if ra is None else 1),
        "time": gps_of(str(notice.get("trigger_time") or "")),
        "duration": _number(notice, "rate_duration") or _number(notice, "image_duration") or 0.0,
        "ra": ra,
        "dec": dec,
        "error": _error(notice),
        "search": search,
        "far": _number(notice, "far"),
        "test": str(notice.get("alert_tense") or "") not in _NO_TEST,
        "grb": kind != "retraction",
        "reasons": ("retracted",) if kind == "retraction" else (),
        "retracted": kind == "retraction",
        "skymap": str(notice.get("healpix_file") or notice.get("healpix_url") or ""),
    }


def _guano(notice: Mapping[str, Any], search: str) -> str:
    """GUANO follows up gravitational waves (targeted), or bursts that somebody else has seen: those are bursts."""
    followed = str(notice.get("follow_up_type") or "")
    return "GRB" if search == "SubGRBTargeted" and followed == "GRB" else search


def _id(notice: Mapping[str, Any]) -> str:
    value = notice.get("id")
    if isinstance(value, list):
        value = value[0] if value else ""
    if not isinstance(value, str | int) or isinstance(value, bool) or len(str(value)) > 100:
        raise BadInput(f"the id {str(value)[:40]!r}")
    return str(value).strip()


def _number(notice: Mapping[str, Any], name: str) -> float | None:
    value = notice.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e30:
        raise BadInput(f"{name} is {str(value)[:40]!r}")
    return float(value)


def _error(notice: Mapping[str, Any]) -> float | None:
    """The 1-sigma radius in degrees, from a radius or the axes of an ellipse that contains a probability.

    For a Gaussian on the plane the radius of probability P is ``sigma * sqrt(-2 ln(1 - P))``.
    """
    value = notice.get("ra_dec_error")
    if isinstance(value, list):
        axes = [_number({"ra_dec_error": one}, "ra_dec_error") for one in value[:2]]
        known = [axis for axis in axes if axis is not None]
        radius = max(known) if known else None
    else:
        radius = _number(notice, "ra_dec_error")
    if radius is None:
        return None
    contained = _number(notice, "containment_probability")
    contained = 0.9 if contained is None else contained
    if not LEAST_CONTAINED < contained < 1 or radius < 0:
        raise BadInput(f"an error radius of {radius:g} deg that contains {contained:g}")
    return radius / sqrt(-2 * log(1 - contained))
