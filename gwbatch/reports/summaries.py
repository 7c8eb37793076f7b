"""Superevents at a glance: the numbers, the picture and the notices of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gwbatch.annotation.graph import EM_BRIGHT, P_ASTRO
from gwbatch.gpstime import gps_to_utc
from gwbatch.ledger import Ledger
from gwbatch.mirror import public_notices
from gwbatch.mirror.products import StoredProduct
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.reports.milestones import Course, courses
from gwbatch.superevents import Superevent

PICTURE = "bayestar.png"
MILESTONES_SHOWN = ("decided", "finished", "delivered")
LARGEST = 10_000  # bytes to read of a file of probabilities


def cards(ledger: Ledger, since: float, limit: int = 24) -> list[dict[str, Any]]:
    """Return the newest superevents that began after a Unix time (s), each with the content of its card."""
    mirror, found = SupereventStore(ledger.connection), []
    for course in courses(ledger, limit=limit):
        superevent = mirror.superevent(course.key)
        if superevent is not None and course.began >= since:
            found.append({**summary(ledger, superevent), "elapsed": _elapsed(course), "began": course.began})
    return found


def summary(ledger: Ledger, superevent: Superevent) -> dict[str, Any]:
    """Return the key facts of a superevent: its preferred event's numbers, its map, classification and notices."""
    mirror = SupereventStore(ledger.connection)
    event, products = mirror.event(superevent.preferred), mirror.products(superevent.key)
    return {
        "key": superevent.key,
        "superevent_id": superevent.superevent_id,
        "category": superevent.category,
        "t_0": superevent.t_0,
        "utc": gps_to_utc(superevent.t_0).timestamp(),
        "preferred": superevent.preferred,
        "members": len(superevent.events),
        "labels": list(superevent.labels),
        "pipeline": None if event is None else event.pipeline,
        "search": None if event is None else event.search,
        "far": None if event is None else event.far,
        "snr": None if event is None else event.snr,
        "instruments": [] if event is None else sorted(event.instruments),
        "area_90": _fact(products, "area_90"),
        "picture": PICTURE if _is_here(products.get(PICTURE)) else None,
        "classification": _probabilities(products.get(P_ASTRO)) or _published(ledger, superevent, "classification"),
        "properties": _probabilities(products.get(EM_BRIGHT)) or _published(ledger, superevent, "properties"),
        "notices": [
            {"name": one.name, "state": one.state, "id": one.id}
            for one in public_notices.about(ledger.connection, superevent.key)
        ],
    }


def _elapsed(course: Course) -> dict[str, float]:
    return {name: course.reached[name] for name in MILESTONES_SHOWN if name in course.reached}


def _is_here(product: StoredProduct | None) -> bool:
    return product is not None and product.path is not None


def _fact(products: Mapping[str, StoredProduct], name: str) -> Any:
    return next((one.facts[name] for one in products.values() if name in one.facts), None)


def _probabilities(product: StoredProduct | None) -> dict[str, float] | None:
    """Read the probabilities in a file of ours, if there is one and it can be read."""
    if product is None or product.path is None:
        return None
    try:
        with Path(product.path).open("rb") as stream:
            found = json.loads(stream.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return _numbers(found)


def _published(ledger: Ledger, superevent: Superevent, name: str) -> dict[str, float] | None:
    """Return the probabilities in the newest notice that has any."""
    for notice in reversed(public_notices.about(ledger.connection, superevent.key)):
        event = (notice.record or {}).get("event")
        if isinstance(event, dict) and event.get(name):
            return _numbers(event[name])
    return None


def _numbers(found: Any) -> dict[str, float] | None:
    if not isinstance(found, dict):
        return None
    return {str(name): value for name, value in found.items() if isinstance(value, int | float)} or None
