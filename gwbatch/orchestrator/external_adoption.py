"""Selection of alerts about external events that somebody else made and that are worth reading from GraceDB."""

from __future__ import annotations

from typing import Any

from gwbatch.external import MISSIONS
from gwbatch.superevents.alert import Alert
from gwbatch.superevents.candidate import finite

_TELLING = ("new", "update", "label_added", "label_removed")


def look_up(alert: Alert) -> dict[str, Any] | None:
    """Return the object of an alert that is about an external event worth taking over, else None."""
    data = alert.object
    if alert.type not in _TELLING or data is None:
        return None
    if (
        data.get("pipeline") not in {mission.observatory for mission in MISSIONS}
        or data.get("processing_status") == "reserved"
    ):
        return None
    return dict(data) if isinstance(data.get("graceid"), str) and finite(data.get("gpstime")) is not None else None
