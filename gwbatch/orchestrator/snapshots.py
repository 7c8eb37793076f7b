"""Updates of mirrored superevents from GraceDB's alerts, where those are newer than our own decisions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gwbatch.annotation import COPIES, product_named, uploaded_input
from gwbatch.annotation.graph import COMBINED_MAP, EM_BRIGHT, MAP, P_ASTRO, SAMPLES, SAMPLES_MAP, UPLOADED, UPLOADED_MAP
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.ledger import messages
from gwbatch.mirror.products import StoredProduct
from gwbatch.orchestrator import event_products
from gwbatch.superevents import Alert, Superevent, parse_event
from gwbatch.superevents.candidate import finite, require_name

log = logging.getLogger(__name__)

TIMES = ("t_start", "t_0", "t_end")
MICROSECOND = 1e-6  # s, the precision of GraceDB's times


def mirror_superevent(alert: Alert, context: Context) -> Superevent | None:
    """Return the superevent after an alert about it; None when gwbatch does not follow it.

    Raises
    ------
    BadInput
        When the alert does not say which superevent it is about, or holds invalid times.
    """
    data = alert.object
    if data is None or not data.get("superevent_id"):
        raise BadInput("The alert has no object with a superevent_id: it cannot be said which superevent it is about.")
    for name in ("superevent_id", "preferred_event"):
        if data.get(name) is not None:
            require_name(data[name])
    stranger = context.other_server(alert)
    if stranger is not None:
        log.warning("refused an alert about %s of another GraceDB server, %s", data["superevent_id"], stranger)
        return None
    if context.policy.clustering == "client" and not context.live:
        return None  # a replay with our own clustering ignores the decisions of the recorded server
    known = _find(data, context)
    if known is None:
        return _first_sight(data, context)
    changed = _labelled(replace(known, superevent_id=data["superevent_id"]), alert, data)
    if _is_newer(known, data, context):
        changed = _reshaped(changed, data)
        _take_over_members(changed, data, context)
        if alert.type == "event_removed":
            _leave_out(changed, data, context)
    context.mirror.put_superevent(changed, context.now)
    _note_upload(changed, alert, context)
    return context.mirror.superevent(changed.key)


def _note_upload(superevent: Superevent, alert: Alert, context: Context) -> None:
    """Record a file that is not ours, because people give superevents better maps and classifications."""
    if alert.type != "log":
        return
    entry = alert.data
    filename, comment = str(entry.get("filename") or ""), str(entry.get("comment") or "")
    tags = entry.get("tag_names")
    tags = set(map(str, tags)) if isinstance(tags, list) else set()
    if uploaded_input(filename) == SAMPLES:
        context.mirror.put_product(event_products.uploaded(superevent.key, SAMPLES, entry), context.now)
        return
    if filename.endswith(".multiorder.fits") and filename not in (MAP, COMBINED_MAP):
        name, public = UPLOADED_MAP, {"sky_loc", "public"} <= tags
    elif filename.endswith(f".{P_ASTRO}") and "p_astro" in tags:
        name, public = UPLOADED[P_ASTRO], "public" in tags
    elif filename.endswith(EM_BRIGHT) and "em_bright" in tags:
        name, public = UPLOADED[EM_BRIGHT], True
    else:
        return
    ours = (*(copied.comment.partition("{")[0] for copied in COPIES), product_named(SAMPLES_MAP).comment)
    if comment.startswith(ours):
        return
    version = f"{filename},{entry.get('file_version') or 0}"
    product = StoredProduct(superevent.key, name, version, None, {"filename": version, "public": public})
    context.mirror.put_product(product, context.now)


def _find(data: Mapping[str, Any], context: Context) -> Superevent | None:
    """Find a superevent by its GraceDB id, or by its preferred event while ours has no id yet."""
    known = context.mirror.superevent_named(data["superevent_id"])
    if known is None and data.get("preferred_event"):
        known = context.mirror.superevent_of(data["preferred_event"])
        if known is not None and known.superevent_id not in (None, data["superevent_id"]):
            return None
    return known


def _first_sight(data: Mapping[str, Any], context: Context) -> Superevent | None:
    """Mirror somebody else's superevent, because later events may belong to it."""
    times = _times(data)
    if len(times) < len(TIMES) or not data.get("preferred_event"):
        return None
    category = str(data.get("category") or "production").lower()
    superevent = Superevent(
        data["superevent_id"], category, times["t_start"], times["t_0"], times["t_end"], data["preferred_event"],
        (), tuple(_names(data.get("labels"))), data["superevent_id"],
    )  # fmt: skip
    context.mirror.put_superevent(superevent, context.now)
    _take_over_members(superevent, data, context)
    return context.mirror.superevent(superevent.key)


def _labelled(superevent: Superevent, alert: Alert, data: Mapping[str, Any]) -> Superevent:
    """Add a snapshot's labels; remove only the one that the alert removes, because our labels may be newer."""
    labels = [*superevent.labels, *_names(data.get("labels"))]
    if alert.type == "label_removed":
        labels = [label for label in labels if label != alert.label]
    return replace(superevent, labels=tuple(dict.fromkeys(labels)))


def _reshaped(superevent: Superevent, data: Mapping[str, Any]) -> Superevent:
    changes: dict[str, Any] = dict(_times(data))
    changes["preferred"] = data.get("preferred_event") or superevent.preferred
    return replace(superevent, **changes)


def _take_over_members(superevent: Superevent, data: Mapping[str, Any], context: Context) -> None:
    """Add the members that GraceDB lists, as far as we know the events; the alert describes the preferred one."""
    described = data.get("preferred_event_data")
    if isinstance(described, Mapping) and context.mirror.event_data(str(described.get("graceid"))) is None:
        try:
            parse_event(described)
        except BadInput:
            pass
        else:
            context.mirror.put_event(described, context.now)
    members = _names(data.get("gw_events"))
    for graceid in dict.fromkeys([*members, superevent.preferred]):
        if context.mirror.event_data(graceid) is not None:
            context.mirror.join(graceid, superevent.key)


def _leave_out(superevent: Superevent, data: Mapping[str, Any], context: Context) -> None:
    """Remove members that GraceDB no longer lists."""
    for graceid in set(superevent.events) - set(_names(data.get("gw_events"))):
        context.mirror.leave(graceid, superevent.key)


def _times(data: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name in TIMES:
        if data.get(name) is not None:
            number = finite(data[name])
            if number is None:
                raise BadInput(
                    f"Superevent {data['superevent_id']} has {name} = {str(data[name])[:40]}: not a finite number."
                )
            found[name] = number
    return found


def _names(value: Any) -> list[str]:
    return [str(name) for name in value] if isinstance(value, list) else []


def _is_newer(superevent: Superevent, data: Mapping[str, Any], context: Context) -> bool:
    """Return whether a snapshot was taken after our own last decision, so that it counts.

    Once our decision is written, some alert of GraceDB shows it, and every alert before that one is older.  An alert
    published before the write began is older too, even if it shows the same values, for example from an earlier
    decision of ours.
    """
    pending = context.mirror.pending_writes(superevent.key)
    published = messages.published(context.tx, context.message_id) if context.live else None
    if pending and published is not None:
        written = context.mirror.written_since(superevent.key)
        if written is None or published < written:
            return False
    shown = {**_times(data), "preferred": data.get("preferred_event")}
    if any(not _same(shown.get(name), value) for name, value in pending.items()):
        return False
    context.mirror.set_pending(superevent.key, {})
    return True


def _same(shown: Any, pending: Any) -> bool:
    if isinstance(pending, float) and isinstance(shown, float):
        return abs(shown - pending) < MICROSECOND
    return bool(shown == pending)
