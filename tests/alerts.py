"""Alerts like those that search pipelines cause, built from the few values that matter to a test."""

from __future__ import annotations

from typing import Any

COMPLETE = ["PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"]


def event(
    graceid: str = "G1",
    gpstime: float = 1e9,
    far: float | None = 1e-9,
    *,
    group: str = "CBC",
    pipeline: str = "gstlal",
    search: str | None = "AllSky",
    snr: float = 10.0,
    ifos: str = "H1,L1",
    labels: list[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the ``object`` of an alert."""
    singles = [{"ifo": ifo, "snr": snr / 2, "chisq": 1.0} for ifo in ifos.split(",")]
    extra: dict[str, Any] = {"CoincInspiral": {"snr": snr}, "SingleInspiral": singles} if group == "CBC" else {}
    return {
        "graceid": graceid,
        "gpstime": gpstime,
        "far": far,
        "group": group,
        "pipeline": pipeline,
        "search": search,
        "instruments": ifos,
        "offline": False,
        "labels": list(labels or []),
        "extra_attributes": extra,
        "superevent": None,
        **more,
    }


def new(data: dict[str, Any]) -> dict[str, Any]:
    """Return an alert about a new event."""
    return {"uid": data["graceid"], "alert_type": "new", "data": data, "object": data}


def label_added(data: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an alert about a label just added to the event."""
    bearing = {**data, "labels": [*data["labels"], *([name] if name not in data["labels"] else [])]}
    return {"uid": data["graceid"], "alert_type": "label_added", "data": {"name": name}, "object": bearing}


def topic(data: dict[str, Any]) -> str:
    """Return the topic of an event's alerts."""
    return f"{data['group']}_{data['pipeline']}".lower()
