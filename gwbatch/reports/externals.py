"""Reports on external events: triggers, their coincidences and the joint false alarm rates."""

from __future__ import annotations

from typing import Any

from gwbatch.external.event import ExternalEvent
from gwbatch.gpstime import gps_to_utc
from gwbatch.ledger import Ledger
from gwbatch.mirror.externals import Coincidence, ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.superevents.candidate import finite


def externals(ledger: Ledger, limit: int) -> list[dict[str, Any]]:
    """Return the newest external events, each with the superevent that it coincides with, if any."""
    rows = ledger.read("SELECT key FROM external_events ORDER BY time DESC LIMIT ?", (limit,))
    return [found for row in rows if (found := external(ledger, row["key"])) is not None]


def external(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """Return one external event, given by GraceDB ID or local key, or None if it does not exist.

    Its ``superevent`` and ``far_time`` (Hz) are those of the chosen coincidence; ``coincidences`` lists all.
    """
    known = ExternalStore(ledger.connection)
    event = known.get(name) or known.by_graceid(name)
    if event is None:
        return None
    found = [_coincidence(ledger, one) for one in known.coincidences(external=event.key)]
    chosen: dict[str, Any] = next((one for one in found if one["chosen"]), {})
    counts = {"superevent": chosen.get("superevent"), "far_time": chosen.get("far_time")}
    return {**_described(event), **counts, "coincidences": found}


def _described(event: ExternalEvent) -> dict[str, Any]:
    return {
        "key": event.key,
        "graceid": event.graceid,
        "observatory": event.observatory,
        "trigger_id": event.trigger_id,
        "search": event.search,
        "gps": event.time,
        "utc": gps_to_utc(event.time).timestamp(),
        "far": event.far,
        "test": event.test,
        "grb": event.is_burst,
        "reasons": list(event.reasons),
        "labels": sorted(event.labels),
    }


def _coincidence(ledger: Ledger, one: Coincidence) -> dict[str, Any]:
    superevent = SupereventStore(ledger.connection).superevent(one.match.superevent)
    return {
        "key": one.match.superevent,
        "superevent": one.match.superevent if superevent is None else superevent.superevent_id or superevent.key,
        "dt": one.match.dt,
        "far_time": one.match.far_time,
        "overlap": one.match.overlap,
        "far_spacetime": finite(one.match.far_spacetime),
        "chosen": one.chosen,
        "announced": one.announced,
    }
