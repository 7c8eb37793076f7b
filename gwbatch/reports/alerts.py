"""Reports on public notices for status, console, check and ``gwbatch alerts``, with their latency breakdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gwbatch.ledger import Ledger, alert_switch, settings
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.reports import query

BAYESTAR, EM_BRIGHT = "localize", "em-bright"


def overview(ledger: Ledger, limit: int = 10) -> dict[str, Any]:
    """Return the alert settings, whether and by whom alerts were stopped, and the newest notices."""
    settings = _settings(ledger)
    connection = ledger.connection
    return {
        "mode": settings.get("mode", "off"),
        "dry_run": bool(settings.get("dry_run")),
        "mdc_every": float(settings.get("mdc_every") or 0.0),
        "brokers": {
            name: {
                "bootstrap": broker["bootstrap"] or f"kafka.{broker['domain']}",
                **{key: broker[key] for key in ("topic", "format", "categories")},
            }
            for name, broker in settings.get("brokers", {}).items()
        },
        "stopped": alert_switch.stopped(connection),
        "enabled": alert_switch.enabled(connection),
        "notices": notices(ledger, limit),
    }


def _settings(ledger: Ledger) -> dict[str, Any]:
    profile = settings.get(ledger.connection, settings.PROFILE, {})
    return dict(profile.get("alerts") or {})


def notices(ledger: Ledger, limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest notices, each with its state at every broker."""
    found = []
    for row in ledger.read(query("list_notices"), {"limit": limit}):
        notice = public_notices.get(ledger.connection, row["id"])
        if notice is not None:
            found.append(_line(ledger, notice, row["superevent_id"]))
    return found


def _line(ledger: Ledger, notice: PublicNotice, superevent_id: str | None) -> dict[str, Any]:
    return {
        "id": notice.id,
        "superevent": notice.superevent,
        "superevent_id": superevent_id,
        "name": notice.name,
        "kind": notice.kind,
        "state": notice.state,
        "reason": notice.reason,
        "by": notice.orders.get("by"),
        **{at: getattr(notice, at) for at in ("planned", "frozen", "delivered", "stored", "labelled", "drafted")},
        "brokers": [
            {
                "broker": send.broker,
                "topic": send.topic,
                "state": send.state,
                "reason": send.reason,
                "partition": send.partition,
                "offset": send.offset,
                "tries": send.tries,
                "delivered": send.delivered,
                "left_out": send.left_out,
            }
            for send in public_notices.sends(ledger.connection, notice.id)
        ],
    }


def notice(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """Return everything about one notice, or None if it does not exist.

    Parameters
    ----------
    name : str
        The notice's number, or ``SUPEREVENT/NAME`` (``S230518h/preliminary``).
    """
    number = find(ledger, name)
    found = None if number is None else public_notices.get(ledger.connection, number)
    if found is None:
        return None
    rows = ledger.read("SELECT graceid FROM superevents WHERE key = ?", (found.superevent,))
    return {
        **_line(ledger, found, rows[0]["graceid"] if rows else None),
        "uid": found.uid,
        "orders": found.orders,
        "decision": found.decision,
        "record": found.record,
        "parts": parts(ledger, found),
    }


def find(ledger: Ledger, name: str) -> int | None:
    """Resolve the name of a notice, its number or ``SUPEREVENT/NAME``, to its number.

    Returns None for an unknown ``SUPEREVENT/NAME``. A number is returned unchecked.
    """
    if name.isascii() and name.isdigit() and len(name) < 19:
        return int(name)
    superevent, _, wanted = name.rpartition("/")
    rows = ledger.read("SELECT key FROM superevents WHERE key = ? OR graceid = ?", (superevent, superevent))
    for row in rows:
        for one in public_notices.about(ledger.connection, row["key"]):
            if one.name == wanted:
                return one.id
    return None


# ---- latency breakdown of a notice ---------------------------------------------------------------------------


def parts(ledger: Ledger, notice: PublicNotice) -> list[dict[str, Any]]:
    """Return the parts of a notice's latency, each with ``name``, ``begin`` and ``end`` (Unix s), in order of time.

    They run from the upload of the preferred event (for preliminary, less significant and early-warning notices) to
    the draft of the circular. Parts that have not ended yet are left out.
    """
    return sorted(
        (part for part in _parts(ledger, notice) if part["begin"] is not None and part["end"] is not None),
        key=lambda part: (part["begin"], part["end"]),
    )


def _parts(ledger: Ledger, notice: PublicNotice) -> Iterator[dict[str, Any]]:
    preferred = (notice.decision or {}).get("preferred")
    if preferred is not None and notice.kind in ("preliminary", "less-significant", "early-warning"):
        yield from _before_planning(ledger, notice, preferred)
    yield _part("freeze", notice.planned, notice.frozen)
    for send in public_notices.sends(ledger.connection, notice.id):
        yield _part(f"broker {send.broker}", notice.frozen, send.delivered)
    yield _part("store in GraceDB", notice.delivered, notice.stored)
    yield _part("label", notice.stored, notice.labelled)
    yield _part("draft the circular", notice.stored, notice.drafted)


def _before_planning(ledger: Ledger, notice: PublicNotice, preferred: str) -> Iterator[dict[str, Any]]:
    uploaded = ledger.read(query("first_message_about"), (preferred,))
    if uploaded and uploaded[0]["published"] is not None:
        yield _part("upload to decision", uploaded[0]["published"], uploaded[0]["at"])
    for job in ledger.read("SELECT * FROM jobs WHERE subject = ? AND kind IN (?, ?)", (preferred, BAYESTAR, EM_BRIGHT)):
        name = "BAYESTAR" if job["kind"] == BAYESTAR else job["kind"]
        if job["created"] > notice.planned:
            continue
        yield _part(f"{name}: waiting for the node", job["created"], job["started"])
        yield _part(name, job["started"], job["finished"])
    copies = query("uploads_before_notice")
    rows = ledger.read(copies, (f"{notice.superevent}/%/bayestar.multiorder.fits/%",))
    for row in rows[:1]:
        yield _part("copy to the superevent", row["created"], row["finished"])


def _part(name: str, begin: float | None, end: float | None) -> dict[str, Any]:
    return {"name": name, "begin": begin, "end": end}
