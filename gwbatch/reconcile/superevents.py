"""Comparison of a superevent in the ledger with the one in GraceDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gwbatch.keys import creation_of
from gwbatch.ledger import Ledger
from gwbatch.ledger.effects import Write, newest_of
from gwbatch.mirror.superevents import SHAPE, SupereventStore
from gwbatch.reconcile.difference import Difference, LostAlert, Remedy
from gwbatch.superevents import Superevent

MICROSECOND = 1e-6  # s, the precision of times in GraceDB
NAMES = {"preferred": "preferred event"}
TOPICS = {"production": "superevent", "mdc": "mdc_superevent", "test": "test_superevent"}


def compare(ledger: Ledger, ours: Superevent, theirs: Mapping[str, Any] | None) -> Iterator[Difference]:
    """Yield the differences; `theirs` is the superevent as GraceDB's API shows it, None if GraceDB does not know it."""
    subject = ours.superevent_id or ours.key
    if ours.superevent_id is None:
        yield _uncreated(ledger, ours)
    elif theirs is None:
        why = "GraceDB does not know it: somebody deleted it there, or the site profile names another server"
        yield Difference(subject, "superevent", "there", "missing", Remedy.LOOK, why)
    else:
        yield from _shape(ledger, ours, theirs)
        yield from _members(ledger, ours, theirs)
        yield from _labels(ledger, ours, theirs)
        yield from _labels_of_preferred(ledger, ours, theirs)


def _uncreated(ledger: Ledger, ours: Superevent) -> Difference:
    write = newest_of(ledger.connection, [str(creation_of(ours.key))])
    return _ours_first(ours, "superevent", "there", "missing", write, "its creation was never requested")


def _shape(ledger: Ledger, ours: Superevent, theirs: Mapping[str, Any]) -> Iterator[Difference]:
    shown = {**theirs, "preferred": theirs.get("preferred_event")}
    write = newest_of(ledger.connection, [f"{ours.key}/update"])
    for name in SHAPE:
        own, other = getattr(ours, name), shown.get(name)
        if other is None or own == other or (name != "preferred" and abs(own - float(other)) < MICROSECOND):
            continue
        what = NAMES.get(name, name)
        if write is not None and write.state != "done":
            yield _ours_first(ours, what, str(own), str(other), write, "")
        else:
            why = "GraceDB is right: it was changed there, and the alert about it never came"
            alert = _alert(ours, "update", theirs)
            yield Difference(_id(ours), what, str(own), str(other), Remedy.TAKE_OVER, why, alert=alert)


def _members(ledger: Ledger, ours: Superevent, theirs: Mapping[str, Any]) -> Iterator[Difference]:
    members = [str(name) for name in theirs.get("gw_events") or []]
    for event in sorted(set(ours.events) - set(members)):
        write = newest_of(ledger.connection, [f"{ours.key}/add/{event}"])
        if write is not None and write.state != "done":
            yield _ours_first(ours, f"member {event}", "a member", "none", write, "")
        else:
            why = "GraceDB is right: it was removed there, and the alert about it never came"
            alert = _alert(ours, "event_removed", theirs, {"graceid": event})
            yield Difference(_id(ours), f"member {event}", "a member", "none", Remedy.TAKE_OVER, why, alert=alert)
    for event in sorted(set(members) - set(ours.events)):
        if SupereventStore(ledger.connection).event_data(event) is None:
            why = f"GraceDB is right, but no alert about {event} has ever come; gwbatch cannot evaluate it"
            yield Difference(_id(ours), f"member {event}", "unknown", "a member", Remedy.LOOK, why)
        else:
            why = "GraceDB is right: somebody added it there, and the alert about it never came"
            alert = _alert(ours, "event_added", theirs, {"graceid": event})
            yield Difference(_id(ours), f"member {event}", "none", "a member", Remedy.TAKE_OVER, why, alert=alert)


def _labels(ledger: Ledger, ours: Superevent, theirs: Mapping[str, Any]) -> Iterator[Difference]:
    labels = {str(name) for name in theirs.get("labels") or []}
    yield from compare_labels(
        ledger, (ours.key, _id(ours)), set(ours.labels), labels, _id(ours), TOPICS[ours.category], theirs
    )


def _labels_of_preferred(ledger: Ledger, ours: Superevent, theirs: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare the labels of the preferred event, which notices describe and GraceDB returns with the superevent."""
    described = theirs.get("preferred_event_data") or {}
    known = SupereventStore(ledger.connection).event_data(ours.preferred)
    if known is None or described.get("graceid") != ours.preferred:
        return
    topic = f"{described.get('group')}_{described.get('pipeline')}".lower()
    own, other = (set(map(str, one.get("labels") or [])) for one in (known, described))
    for one in compare_labels(ledger, (ours.preferred,), own, other, ours.preferred, topic, described):
        yield replace(one, subject=_id(ours), what=f"{one.what} of the preferred event")


def compare_labels(
    ledger: Ledger, targets: tuple[str, ...], ours: set[str], theirs: set[str], subject: str, topic: str,
    described: Mapping[str, Any],
) -> Iterator[Difference]:  # fmt: skip
    """Yield the labels that only one side has; `targets` are the names that our own effects use for the object."""
    for label in sorted(ours ^ theirs):
        what, told = f"label {label}", ("set", "not set") if label in ours else ("not set", "set")
        write = newest_of(
            ledger.connection, [f"{target}/{verb}/{label}" for target in targets for verb in ("label", "unlabel")]
        )
        sets = write is not None and write.kind == "gracedb.label"
        if write is not None and write.state != "done" and sets == (label in ours):
            yield _judged(subject, what, *told, write)
            continue
        way, kind = ("removed", "label_removed") if label in ours else ("set", "label_added")
        alert = LostAlert(topic, {"uid": subject, "alert_type": kind, "data": {"name": label}, "object": described})
        why = f"GraceDB is right: it was {way} there, and the alert about it never came"
        yield Difference(subject, what, *told, Remedy.TAKE_OVER, why, alert=alert)


def _ours_first(ours: Superevent, what: str, own: str, other: str, write: Write | None, unasked: str) -> Difference:
    if write is None or write.state == "done":
        return Difference(_id(ours), what, own, other, Remedy.LOOK, unasked or "our write is done, but not there")
    return _judged(_id(ours), what, own, other, write)


def _judged(subject: str, what: str, own: str, other: str, write: Write) -> Difference:
    if write.open:
        reason = f" ({write.error})" if write.error else ""
        why = f"gwbatch is right: its write is in progress{reason}"
        return Difference(subject, what, own, other, Remedy.WAIT, why, write.key)
    why = f"gwbatch is right: its write failed ({write.error})"
    return Difference(subject, what, own, other, Remedy.WRITE, why, write.key)


def _alert(
    ours: Superevent, kind: str, described: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> LostAlert:
    payload = {"uid": _id(ours), "alert_type": kind, "data": data or {}, "object": described}
    return LostAlert(TOPICS[ours.category], payload)


def _id(ours: Superevent) -> str:
    return ours.superevent_id or ours.key
