"""The sandbox's rules for superevents: creation, changes, description and alerts."""

from __future__ import annotations

from typing import Any

from gwbatch.gpstime import gps_to_utc
from gwbatch.sandbox import events
from gwbatch.sandbox.store import USER, ApiError, Store, utc_now
from gwbatch.sandbox.vocabulary import CATEGORIES, LABELS, SUPEREVENT_TOPICS

LARGEST_TIME = 1.0e11  # GPS s, around the year 5100
_NUMBERS = ("t_start", "t_0", "t_end", "time_coinc_far", "space_coinc_far")


def create(store: Store, base: str, fields: dict[str, Any], members: list[str], labels: list[str]) -> dict[str, Any]:
    """Create a superevent around its preferred event."""
    category = str(CATEGORIES.get(fields.get("category", "P"), fields.get("category")))
    if category not in CATEGORIES.values():
        raise ApiError(400, f"Unknown category {category!r}")
    preferred = str(fields.get("preferred_event"))
    members = list(dict.fromkeys([preferred, *members]))
    for graceid in members:
        _require_free(store, graceid, category)
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise ApiError(400, f"Unknown label(s): {', '.join(unknown)}")
    t_0 = _number(fields, "t_0")
    identifier = _identifier(store, category, t_0, "S")
    superevent: dict[str, Any] = {
        "superevent_id": identifier,
        "gw_id": None,
        "category": category,
        "created": utc_now(),
        "submitter": USER,
        "preferred_event": preferred,
        "em_type": None,
        "t_start": _number(fields, "t_start"),
        "t_0": t_0,
        "t_end": _number(fields, "t_end"),
        "gw_events": [],
        "em_events": [],
        "time_coinc_far": None,
        "space_coinc_far": None,
        "pipeline_preferred": {},
        "public": False,
    }
    store.put("superevent", identifier, superevent)
    for graceid in members:
        _join(store, superevent, graceid)
    for label in labels:
        store.add_label(identifier, label)
    announce(store, base, identifier, "new")
    events.announce(store, base, preferred, "selected_as_preferred")
    for label in labels:
        announce(store, base, identifier, "label_added", _label(store, base, identifier, label))
    return describe(store, base, identifier)


def update(store: Store, base: str, identifier: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Change window, preferred event, FARs or em_type."""
    superevent = load(store, identifier)
    before = dict(superevent)
    for name in _NUMBERS:
        if name in fields:
            superevent[name] = _number(fields, name)
    if "em_type" in fields:
        superevent["em_type"] = fields["em_type"]
    preferred = fields.get("preferred_event")
    if preferred and preferred != superevent["preferred_event"]:
        event = _known(store, preferred)
        if event["superevent"] != superevent["superevent_id"]:
            _require_free(store, preferred, superevent["category"])
            _join(store, superevent, preferred)
        superevent["preferred_event"] = preferred
    if superevent == before:
        raise ApiError(400, "Request would not modify the superevent")
    store.put("superevent", superevent["superevent_id"], superevent)
    announce(store, base, superevent["superevent_id"], "update")
    if superevent["preferred_event"] != before["preferred_event"]:
        events.announce(store, base, before["preferred_event"], "removed_as_preferred")
        events.announce(store, base, superevent["preferred_event"], "selected_as_preferred")
    return describe(store, base, superevent["superevent_id"])


def add_event(store: Store, base: str, identifier: str, graceid: str) -> dict[str, Any]:
    """Make an event a member."""
    superevent = load(store, identifier)
    store.get("event", graceid)
    _require_free(store, graceid, superevent["category"])
    _join(store, superevent, graceid)
    store.put("superevent", superevent["superevent_id"], superevent)
    announce(store, base, superevent["superevent_id"], "event_added")
    events.announce(store, base, graceid, "added_to_superevent")
    return {"self": f"{base}superevents/{superevent['superevent_id']}/events/{graceid}/", "graceid": graceid}


def remove_event(store: Store, base: str, identifier: str, graceid: str) -> None:
    """Remove a member, unless it is the preferred event."""
    superevent = load(store, identifier)
    if graceid == superevent["preferred_event"]:
        raise ApiError(400, f"Event {graceid} is the preferred event and cannot be removed")
    if graceid not in superevent["gw_events"] + superevent["em_events"]:
        raise ApiError(404, f"Event {graceid} is not part of superevent {superevent['superevent_id']}")
    for members in ("gw_events", "em_events"):
        superevent[members] = [member for member in superevent[members] if member != graceid]
    superevent["pipeline_preferred"] = {p: g for p, g in superevent["pipeline_preferred"].items() if g != graceid}
    store.put("superevent", superevent["superevent_id"], superevent)
    event = store.get("event", graceid)
    store.put("event", graceid, {**event, "superevent": None})
    announce(store, base, superevent["superevent_id"], "event_removed")
    events.announce(store, base, graceid, "removed_from_superevent")


def add_pipeline_preferred(store: Store, base: str, identifier: str, graceid: str) -> dict[str, Any]:
    """Set the preferred event of a pipeline."""
    superevent = load(store, identifier)
    event = store.get("event", graceid)
    if graceid not in superevent["gw_events"]:
        raise ApiError(400, f"Event {graceid} is not part of superevent {superevent['superevent_id']}")
    superevent["pipeline_preferred"][event["pipeline"]] = graceid
    store.put("superevent", superevent["superevent_id"], superevent)
    return {"graceid": graceid, "pipeline": event["pipeline"]}


def remove_pipeline_preferred(store: Store, identifier: str, graceid: str) -> None:
    """Clear the preferred event of a pipeline."""
    superevent = load(store, identifier)
    if graceid not in superevent["pipeline_preferred"].values():
        raise ApiError(404, f"Event {graceid} is no pipeline-preferred event")
    superevent["pipeline_preferred"] = {p: g for p, g in superevent["pipeline_preferred"].items() if g != graceid}
    store.put("superevent", superevent["superevent_id"], superevent)


def confirm(store: Store, base: str, identifier: str, gw_id: str | None = None) -> dict[str, Any]:
    """Give a superevent its GW name."""
    superevent = load(store, identifier)
    if superevent["gw_id"]:
        raise ApiError(400, f"Superevent {superevent['superevent_id']} is already confirmed as a GW")
    superevent["gw_id"] = gw_id or _identifier(store, superevent["category"], superevent["t_0"], "GW")
    store.put("superevent", superevent["superevent_id"], superevent)
    announce(store, base, superevent["superevent_id"], "confirmed_as_gw")
    return describe(store, base, superevent["superevent_id"])


def load(store: Store, identifier: str) -> dict[str, Any]:
    """Load a superevent by its S or GW name."""
    if "GW" in identifier[:3]:
        for superevent in store.all("superevent"):
            if superevent["gw_id"] == identifier:
                return superevent
    return store.get("superevent", identifier)


def describe(store: Store, base: str, identifier: str) -> dict[str, Any]:
    """Describe the superevent as the API shows it."""
    superevent = load(store, identifier)
    preferred = events.describe(store, base, superevent["preferred_event"])
    own = f"{base}superevents/{superevent['superevent_id']}/"
    pipelines = superevent.pop("pipeline_preferred")
    superevent.pop("public")
    return {
        **superevent,
        "far": preferred["far"],
        "labels": [label["name"] for label in store.labels(superevent["superevent_id"])],
        "preferred_event_data": preferred,
        "pipeline_preferred_events": {p: events.describe(store, base, g) for p, g in pipelines.items()},
        "links": {
            "events": f"{own}events/",
            "labels": f"{own}labels/",
            "logs": f"{own}logs/",
            "files": f"{own}files/",
            "self": own,
            "voevents": f"{own}voevents/",
            "emobservations": f"{own}emobservations/",
        },
    }


def announce(store: Store, base: str, identifier: str, alert_type: str, data: Any = None) -> None:
    """Put an alert about a superevent into the outbox."""
    superevent = describe(store, store.address or base, identifier)
    payload = {
        "uid": identifier,
        "alert_type": alert_type,
        "data": superevent if data is None else data,
        "object": superevent,
    }
    store.add_alert(SUPEREVENT_TOPICS[superevent["category"]], payload)


def _label(store: Store, base: str, identifier: str, name: str) -> dict[str, Any]:
    found = next(label for label in store.labels(identifier) if label["name"] == name)
    return {**found, "self": f"{base}superevents/{identifier}/labels/{name}/"}


def _known(store: Store, graceid: str) -> dict[str, Any]:
    try:
        return store.get("event", graceid)
    except ApiError:
        raise ApiError(400, f"Event {graceid} does not exist") from None


def _require_free(store: Store, graceid: str, category: str) -> None:
    event = _known(store, graceid)
    if event["superevent"]:
        raise ApiError(400, f"Event {graceid} is already assigned to a superevent")
    own = "MDC" if event["search"] == "MDC" else "Test" if event["group"] == "Test" else "Production"
    if own != category:
        raise ApiError(400, f"Event {graceid} of category {own} cannot be part of a superevent of category {category}")


def _join(store: Store, superevent: dict[str, Any], graceid: str) -> None:
    event = store.get("event", graceid)
    store.put("event", graceid, {**event, "superevent": superevent["superevent_id"]})
    superevent["em_events" if event["group"] == "External" else "gw_events"].append(graceid)
    store.put("superevent", superevent["superevent_id"], superevent)


def _identifier(store: Store, category: str, t_0: float, kind: str) -> str:
    date = gps_to_utc(t_0).strftime("%y%m%d")
    prefix = {"Production": "", "Test": "T", "MDC": "M"}[category]
    number = store.count(f"{prefix}{kind}{date}")
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"{prefix}{kind}{date}{letters.upper() if kind == 'GW' else letters}"


def _number(fields: dict[str, Any], name: str) -> float:
    try:
        value = float(fields[name])
    except (KeyError, TypeError, ValueError):
        value = float("nan")
    if not abs(value) < LARGEST_TIME:
        raise ApiError(400, f"{name} must be a number")
    return int(value) if value.is_integer() else value
