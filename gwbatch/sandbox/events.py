"""The sandbox's rules for events: creation, replacement, description and alerts."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from gwbatch.sandbox.event_files import read_event_file
from gwbatch.sandbox.store import USER, ApiError, Store, utc_now
from gwbatch.sandbox.vocabulary import GROUPS, LABELS, PIPELINES, SEARCHES, event_topics

_REPLAY_ID = re.compile(r"[A-Za-z0-9_.-]{1,30}")
_CBC = ("gstlal", "spiir", "pycbc", "mbta", "mbtaonline", "sgnl")


def create(
    store: Store, base: str, fields: dict[str, Any], labels: list[str], upload: tuple[str, bytes]
) -> dict[str, Any]:
    """Create an event from an uploaded file; the reply carries ``warnings``."""
    warnings: list[str] = []
    replay_id = fields.get("replay_id") or None
    if replay_id is not None and not _REPLAY_ID.fullmatch(replay_id):
        warnings.append(f"Ignored malformed replay_id {replay_id!r}")
        replay_id = None
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise ApiError(400, f"Unknown label(s): {', '.join(unknown)}")
    event = _new(store, fields, replay_id)
    for label in labels:
        store.add_label(event["graceid"], label)
    _read_into(store, event, upload, warnings)
    _announce_new(store, base, event["graceid"], labels)
    return {**describe(store, base, event["graceid"]), "warnings": warnings}


def _announce_new(store: Store, base: str, graceid: str, labels: list[str]) -> None:
    """Announce an event whose file could be read, then each of its labels."""
    if store.get("event", graceid)["gpstime"] is None:
        return
    announce(store, base, graceid, "new")
    for label in labels:
        announce(store, base, graceid, "label_added", _label(store, base, graceid, label))


def reserve(store: Store, base: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Reserve an ID for a later upload."""
    replay_id = fields.get("replay_id") or None
    if replay_id is not None and not _REPLAY_ID.fullmatch(replay_id):
        raise ApiError(400, f"malformed replay_id {replay_id!r}")
    event = _new(store, fields, replay_id)
    event["processing_status"] = "reserved"
    store.put("event", event["graceid"], event)
    return describe(store, base, event["graceid"])


def fill_reserved(
    store: Store, base: str, graceid: str, labels: list[str], upload: tuple[str, bytes]
) -> dict[str, Any]:
    """Upload the file of a reserved event."""
    event = store.get("event", graceid)
    if event["processing_status"] != "reserved":
        raise ApiError(400, f"Event {graceid} is not reserved")
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise ApiError(400, f"Unknown label(s): {', '.join(unknown)}")
    event["processing_status"] = "uploaded"
    warnings: list[str] = []
    for label in labels:
        store.add_label(graceid, label)
    _read_into(store, event, upload, warnings)
    _announce_new(store, base, graceid, labels)
    return {**describe(store, base, graceid), "warnings": warnings}


def replace(store: Store, base: str, graceid: str, upload: tuple[str, bytes]) -> dict[str, Any]:
    """Replace an event's file."""
    event = store.get("event", graceid)
    _read_into(store, event, upload, [])
    announce(store, base, graceid, "update")
    return describe(store, base, graceid)


def describe(store: Store, base: str, graceid: str) -> dict[str, Any]:
    """Describe the event as the API shows it."""
    event = store.get("event", graceid)
    own = f"{base}events/{graceid}"
    return {
        **event,
        "labels": [label["name"] for label in store.labels(graceid)],
        "superevent_neighbours": {},
        "links": {
            "neighbors": f"{own}/neighbors/",
            "log": f"{own}/log/",
            "emobservations": f"{own}/emobservation/",
            "files": f"{own}/files/",
            "labels": f"{own}/labels/",
            "self": own,
            "tags": f"{own}/tag/",
        },
    }


def announce(store: Store, base: str, graceid: str, alert_type: str, data: Any = None) -> None:
    """Put an alert about an event into the outbox."""
    event = describe(store, store.address or base, graceid)
    payload = {
        "uid": graceid,
        "alert_type": alert_type,
        "data": event if data is None else data,
        "object": event,
    }
    for topic in event_topics(event["group"], event["pipeline"], event["search"]):
        store.add_alert(topic, payload)


def _label(store: Store, base: str, graceid: str, name: str) -> dict[str, Any]:
    found = next(label for label in store.labels(graceid) if label["name"] == name)
    return {**found, "self": f"{base}events/{graceid}/labels/{name}"}


def _new(store: Store, fields: dict[str, Any], replay_id: str | None) -> dict[str, Any]:
    group = _choice("group", fields.get("group"), GROUPS)
    pipeline = _choice("pipeline", fields.get("pipeline"), PIPELINES)
    search = _choice("search", fields["search"], SEARCHES) if fields.get("search") else None
    prefix = (
        "M"
        if search == "MDC"
        else {"Test": "T", "External": "E"}.get(group, "H" if pipeline == "HardwareInjection" else "G")
    )
    graceid = f"{prefix}{store.count('events'):04d}"
    event: dict[str, Any] = {
        "submitter": USER,
        "created": utc_now(),
        "group": group,
        "graceid": graceid,
        "pipeline": pipeline,
        "gpstime": None,
        "reporting_latency": None,
        "instruments": fields.get("instruments") or "",
        "nevents": None,
        "offline": str(fields.get("offline", "")).lower() == "true",
        "search": search,
        "far": None,
        "far_is_upper_limit": False,
        "likelihood": None,
        "extra_attributes": {},
        "superevent": None,
        "processing_status": "uploaded",
        "replay_id": replay_id,
        "content_id": fields.get("content_id"),
    }
    store.put("event", graceid, event)
    return event


def _read_into(store: Store, event: dict[str, Any], upload: tuple[str, bytes], warnings: list[str]) -> None:
    name, content = upload
    name = stored_name(event["pipeline"], name)
    if "," in name or not name:
        raise ApiError(400, f"Bad file name {name!r}")
    version = store.add_file(event["graceid"], name, content)
    try:
        event |= {
            key: value for key, value in read_event_file(event["pipeline"], content).items() if value not in (None, "")
        }
    except ValueError as error:
        warnings.append(f"Problem scanning data. No alert issued ({error})")
    store.put("event", event["graceid"], event)
    store.add_record(
        event["graceid"],
        "log",
        {
            "comment": "Original Data",
            "created": utc_now(),
            "issuer": USER,
            "filename": name,
            "file_version": version,
            "tag_names": [],
        },
    )


def stored_name(pipeline: str, name: str) -> str:
    """Return the name under which an uploaded file is stored; coincidences are always ``coinc.xml``."""
    name = PurePosixPath(name.replace("\\", "/")).name
    return "coinc.xml" if pipeline.lower() in _CBC and name.endswith(".xml") else name


def _choice(what: str, value: Any, known: list[str]) -> str:
    found = next((word for word in known if isinstance(value, str) and word.lower() == value.lower()), None)
    if found is None:
        raise ApiError(400, f"Unknown {what} {value!r}. Known: {', '.join(known)}")
    return found
