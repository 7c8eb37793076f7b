"""Snapshots of everything in the ledger that a notice depends on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gwbatch.alerts import EXPECTED, Seen
from gwbatch.alerts.judgement import SeenExternal
from gwbatch.annotation.graph import COMBINED_MAP, FAR_FILE, MAP, UPLOADED
from gwbatch.external.coincidence import RAVEN_ALERT
from gwbatch.keys import pair_key
from gwbatch.ledger import Transaction
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.products import StoredProduct
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.superevents import Superevent, parse_event

Place = dict[str, Any]
"""Where a file is: ``path`` on this machine, ``gracedb`` (owner, ``NAME,VERSION``), and ``version``."""


def look(tx: Transaction, superevent: str, notice: PublicNotice | None = None) -> Seen | None:
    """Return what is known about a superevent; None if there is no such superevent.

    Parameters
    ----------
    notice : PublicNotice or None
        A notice for which somebody may have chosen files. These replace the files of the preferred event.
    """
    mirror = SupereventStore(tx)
    found = mirror.superevent(superevent)
    if found is None:
        return None
    found = replace(found, labels=tuple(sorted(found.labels)), events=tuple(sorted(found.events)))
    data = mirror.event_data(found.preferred)
    orders = {} if notice is None else notice.orders
    by_people = notice is not None and notice.kind in ("initial", "update")
    products = {name: place for name in EXPECTED if (place := _place(mirror, found, name, by_people)) is not None}
    for name, file in (orders.get("files") or {}).items():
        products[name] = {"version": file, "gracedb": [found.key, file], "file": file}
    return Seen(found, None if data is None else parse_event(data), data or {}, products, _external(tx, mirror, found))


def _place(mirror: SupereventStore, superevent: Superevent, name: str, by_people: bool) -> Place | None:
    """Locate a product: the preferred event's own, or a newer public one that people uploaded to the superevent."""
    of_event, shown = mirror.product(superevent.preferred, name), mirror.product(superevent.key, name)
    own = None if of_event is None else _place_of(of_event, shown)
    given = mirror.product(superevent.key, UPLOADED[name]) if by_people and name in UPLOADED else None
    if given is None or not given.facts.get("public") or (shown is not None and given.created <= shown.created):
        return own
    file = given.facts["filename"]
    place = {"version": given.version, "gracedb": [superevent.key, file], "file": file}
    return place if own is None else {**place, "own": own}


def _place_of(of_event: StoredProduct, shown: StoredProduct | None) -> Place:
    """Locate the preferred event's product and, once it exists, its copy on the superevent."""
    source = of_event.facts.get("file") or of_event.facts.get("filename") or of_event.name
    place: Place = {"version": f"{of_event.subject}.{of_event.version}", "gracedb": [of_event.subject, source]}
    if of_event.path is not None:
        place["path"] = of_event.path
    if shown is not None and shown.version.partition("~")[0] == place["version"] and "uploaded" in shown.facts:
        place["file"] = shown.facts["uploaded"]
    return place


def _external(tx: Transaction, mirror: SupereventStore, superevent: Superevent) -> SeenExternal | None:
    """Return the external event that a superevent is announced with; None if there is none."""
    if RAVEN_ALERT not in superevent.labels:
        return None
    externals = ExternalStore(tx)
    found = [one for one in externals.coincidences(superevent=superevent.key) if one.chosen]
    shown = mirror.product(superevent.key, FAR_FILE)
    preferred = shown.facts.get("external") if shown is not None else None
    announced = [one for one in found if one.announced] or found
    match = next((one.match for one in announced if one.match.external == preferred), None) or next(
        (one.match for one in announced), None
    )
    event = None if match is None else externals.get(match.external)
    if match is None or event is None:
        return None
    _, _, notice = externals.notice(event.key, event.best_notice)
    combined = _combined(mirror, pair_key(event.key, superevent.key), mirror.product(superevent.key, COMBINED_MAP))
    return SeenExternal(
        event.observatory, event.search, event.trigger_id, notice.ivorn, event.time, match.far_time,
        match.far_spacetime, combined,
    )  # fmt: skip


def _combined(mirror: SupereventStore, pair: str, shown: StoredProduct | None) -> tuple[str, str] | None:
    made = mirror.product(pair, COMBINED_MAP)
    if made is None or made.path is None or made.facts.get("disjoint"):
        return None
    same = shown is not None and shown.path == made.path
    return made.path, str(shown.facts.get("uploaded", "")) if same and shown is not None else ""


def map_file(seen: Seen) -> str | None:
    """Return the sky map of a superevent as ``NAME,VERSION``; None until GraceDB has it."""
    file = seen.products.get(MAP, {}).get("file")
    return None if file is None else str(file)
