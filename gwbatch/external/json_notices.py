"""Parsing of GCN's JSON notices by GCN's published schemas, with their optional fields and variants among missions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.missions import Mission, mission_of_json
from gwbatch.gpstime import gps_of

_REAL_TENSES = ("", "current", "archival")
_TEST_TYPES = ("test", "injected", "commanded")
_STAGES = {"": 0, "initial": 0, "subsequent": 1, "update": 2, "retraction": 10} | dict.fromkeys(_TEST_TYPES, 0)
MOCK = "mdc-test_event"
"""Part of the id, IVORN or event name of a mock trigger, in upper or lower case."""


def read_json(topic: str, notice: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a `Notice` from a JSON notice.

    Raises
    ------
    BadInput
        If its mission or alert type is unknown, it lacks a trigger time or id, or a field has an invalid value.
    """
    mission = _mission(notice)
    alert_type = _text(notice, "alert_type").lower()
    if alert_type not in _STAGES:
        raise BadInput(f"Invalid notice: the alert_type is {alert_type[:40]!r}.")
    subtype = next(filter(None, (_text(notice, name) for name in SUBTYPES)), "")
    kind = mission.kind_of_subtype(subtype)
    search = _search(notice, mission, subtype)
    targeted = search == "SubGRBTargeted"
    duration = _number(notice, "rate_duration") or _number(notice, "image_duration") or 0.0
    trigger_id, veto = _id(notice), _text(notice, "gwbatch_veto")
    names = json.dumps([notice.get(name) for name in ("id", "ivorn", "event_name")]).lower()
    mock = _flag(notice, "is_mdc") or MOCK in names
    ra, dec = _number(notice, "ra"), _number(notice, "dec")
    if ra is None or dec is None:
        ra = dec = None
    retracted = alert_type == "retraction"
    return {
        "observatory": mission.observatory,
        "trigger_id": trigger_id,
        "kind": topic if kind is None else kind.name,
        "stage": _STAGES[alert_type] + (ra is not None) if kind is None or retracted else kind.stage,
        "time": gps_of(_text(notice, "trigger_time")) + (duration / 2 if targeted else 0.0),
        "duration": duration,
        "ra": ra,
        "dec": dec,
        "radius": _radius(notice),
        "contained": _contained(notice),
        "form": "json",
        "search": "MDC" if mock else search,
        "far": _number(notice, "far"),
        "test": _text(notice, "alert_tense").lower() not in _REAL_TENSES or alert_type in _TEST_TYPES,
        "retracted": retracted,
        "centred": targeted and duration > 0,
        "sequence": _number(notice, "record_number") or 0.0,
        "skymap": _text(notice, "healpix_file") or _text(notice, "healpix_url"),
        "official_map": fermi_map(_text(notice, "light_curve_url")) if kind and kind.packet == FINAL_POSITION else "",
        "described": bool(veto),
        "evidence": {
            "grb_probability": None if targeted or not mission.classified else _grb_probability(notice),
            "importance": _number(notice, "importance") if mission.search == "FRB" else None,
            "p_astro": _number(notice, "p_astro"),
            "known_source": _text(notice, "known_source"),
            "unpositioned": kind is not None and not kind.positioned,
            "flags": (veto,) if veto else (),
            "foreign": _foreign(mission, _text(notice, "instrument")),
        },
    }


SUBTYPES = ("subtype", "notice_subtype", "notice_type")
"""Fields in which Fermi's JSON notices may name their kind; the schema has changed over time."""
FINAL_POSITION = 115


def fermi_map(light_curve: str) -> str:
    """Return the address at which Fermi GBM publishes its own map of a burst, given that of the light curve.

    The map is ``glg_healpix_all_bnYYMMDDFFF_v00.fit`` in ``current/`` of the burst's folder at HEASARC.
    """
    folder, quicklook, _ = light_curve.partition("/quicklook/")
    burst = folder.rpartition("/")[2]
    if not quicklook or not burst.startswith("bn") or not burst.removeprefix("bn").isdecimal():
        return ""
    return f"{folder}/current/glg_healpix_all_{burst}_v00.fit"


def _mission(notice: Mapping[str, Any]) -> Mission:
    said = {name: _text(notice, name) for name in ("mission", "instrument", "$schema")}
    mission = mission_of_json(*said.values())
    if mission is None and _text(notice, "notice_type").upper().startswith("FERMI_GBM"):
        mission = mission_of_json("fermi", "", "")
    if mission is None:
        named = ", ".join(f"{name} {value[:80]!r}" for name, value in said.items())
        raise BadInput(f"Cannot tell the mission of the notice from its {named}.")
    return mission


def _foreign(mission: Mission, instrument: str) -> str:
    """Return why an instrument's notices are not external triggers, if so; Fermi LAT reports flares of galaxies."""
    if mission.observatory == "Fermi" and "lat" in instrument.lower().replace("-", " ").split():
        return "Fermi LAT notices are not triggers of GBM"
    return ""


def _search(notice: Mapping[str, Any], mission: Mission, subtype: str) -> str:
    """Return the search; a GUANO notice about a burst that somebody else has seen counts as a burst."""
    instrument = _text(notice, "instrument").lower()
    if "guano" in instrument and _text(notice, "follow_up_type").strip().upper() == "GRB":
        return "GRB"
    if "targeted" in instrument or "guano" in instrument:
        return "SubGRBTargeted"
    # Fermi's sub-threshold notices share a schema with the others, but only they have a reliability.
    if mission.classified and ("subthresh" in subtype.lower().replace("-", "") or _text(notice, "reliability")):
        return "SubGRB"
    return mission.search


def _id(notice: Mapping[str, Any]) -> str:
    """Return the id; the elements of a list are joined with ``_``, as in GraceDB."""
    value = notice.get("id")
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts):
        raise BadInput(f"Invalid notice: the id is {str(value)[:40]!r}.")
    return "_".join(str(part).strip() for part in parts)


def _text(notice: Mapping[str, Any], name: str) -> str:
    value = notice.get(name)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"Invalid notice: {name} is {str(value)[:40]!r}, which is not a text.")
    return value or ""


def _flag(notice: Mapping[str, Any], name: str) -> bool:
    value = notice.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadInput(f"Invalid notice: {name} is {str(value)[:40]!r}, which is neither true nor false.")
    return bool(value)


def _number(notice: Mapping[str, Any], name: str) -> float | None:
    value = notice.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e30:  # nan is refused too
        raise BadInput(f"Invalid notice: {name} is {str(value)[:40]!r}, which is not a number.")
    return float(value)


def _grb_probability(notice: Mapping[str, Any]) -> float | None:
    classes = notice.get("classification")
    if classes is None:
        return None
    if not isinstance(classes, Mapping):
        raise BadInput(f"Invalid notice: classification is {str(classes)[:40]!r}, which is not an object.")
    return _number(classes, "GRB") or 0.0


def _radius(notice: Mapping[str, Any]) -> float | None:
    """Return the error radius in deg; for an ellipse, the longer of its first two axes."""
    if notice.get("ra_dec_error") is not None:
        return _longest(notice, "ra_dec_error")
    sides = [_longest(notice, name) for name in ("ra_uncertainty", "dec_uncertainty")]
    return max((side for side in sides if side is not None), default=None)


def _longest(notice: Mapping[str, Any], name: str) -> float | None:
    value = notice.get(name)
    if not isinstance(value, list):
        return _number(notice, name)
    axes = [_number({name: one}, name) for one in value[:2]]
    return max((axis for axis in axes if axis is not None), default=None)


def _contained(notice: Mapping[str, Any]) -> float | None:
    contained = _number(notice, "containment_probability")
    if contained is not None and not LEAST_CONTAINED < contained < 1:
        raise BadInput(f"Invalid notice: containment_probability is {contained:g}.")
    return contained


LEAST_CONTAINED = 1e-6
