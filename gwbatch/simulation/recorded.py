"""The events and notices that a ledger has received, to be simulated again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from lxml import etree
from lxml.builder import E

from gwbatch.demo.pipelines import Trigger
from gwbatch.errors import BadInput
from gwbatch.ledger import Ledger
from gwbatch.sandbox.event_files import read_event_file
from gwbatch.sandbox.vocabulary import GROUPS, PIPELINES, SEARCHES
from gwbatch.simulation import query
from gwbatch.simulation.stream import Arrival, Notice, Upload
from gwbatch.superevents.candidate import finite, parse_event

LIGHT, HEAVY = 2.0, 4.0  # solar masses: chirp masses that separate BNS, NSBH and BBH well enough for a simulation
FOREVER = 1.0e12  # Unix s
SETTLED = 3600.0  # s after the last arrival within which everything is done


class Recording(msgspec.Struct, frozen=True):
    """What a ledger received in a period.

    Attributes
    ----------
    begin, end : float
        Unix s; the first and the last arrival.
    graceids : list of str
        All events, also those that cannot be simulated.
    arrivals : list
        Uploads and notices in order of time.
    left_out : dict of str to int
        Why events cannot be simulated, and how many.
    """

    begin: float
    end: float
    graceids: list[str]
    arrivals: list[Arrival]
    left_out: dict[str, int]


def read_recording(ledger: Ledger, since: float = 0.0, until: float = FOREVER) -> Recording:
    """Return what a ledger received between two times (Unix s).

    Each event is uploaded when GraceDB announced it.  Notices are repeated as they came.

    Raises
    ------
    BadInput
        If it received neither an event nor a notice.
    """
    found: list[Arrival] = []
    left_out: Counter[str] = Counter()
    seen: dict[str, None] = {}
    for row in ledger.read(query("received"), {"since": since, "until": until}):
        alert = _alert(row["payload"])
        if alert is None:
            found.append(Notice(row["at"], row["payload"], row["topic"], row["source"]))
            continue
        data = alert["object"]
        is_trigger = "superevent_id" not in data and data.get("group") != "External"
        graceid = str(data.get("graceid"))
        if alert["alert_type"] != "new" or not is_trigger or graceid in seen:
            continue
        seen[graceid] = None
        reason = _why_not(data)
        if reason:
            left_out[reason] += 1
        else:
            found.append(Upload(row["at"], trigger_of(data), event_file(data)))
    if not found:
        why = "".join(f" Left out {number}: {reason}." for reason, number in left_out.items())
        raise BadInput(
            f"Cannot simulate what this ledger received: it holds no event and no notice of that time.{why} "
            "Messages older than keep_days are deleted; choose another ledger or period."
        )
    found.sort(key=lambda one: one.at)
    begin, end = found[0].at, found[-1].at
    return Recording(begin, end, [*seen], found, dict(left_out))


def trigger_of(data: Mapping[str, Any]) -> Trigger:
    """Return the upload of an event that an alert describes."""
    mchirp = finite(_attributes(data, "CoincInspiral").get("mchirp"))
    name = "bns_hlv" if mchirp is None or mchirp < LIGHT else "nsbh_hl" if mchirp < HEAVY else "bbh_hlv"
    event = name if data["group"] == "CBC" else ""
    return Trigger(data["pipeline"], event, data.get("far") or 0.0, data.get("search") or "", data["group"])


def event_file(data: Mapping[str, Any]) -> bytes:
    """Return a file from which the sandbox reads the same numbers as GraceDB did: times, FAR, SNR, detectors.

    It has no SNR series, because nothing is computed.
    """
    extra = data.get("extra_attributes") or {}
    if "CoincInspiral" in extra:
        singles = extra.get("SingleInspiral")
        rows = [row for row in singles if isinstance(row, Mapping) and row] if isinstance(singles, list) else []
        return _ligolw(data, _attributes(data, "CoincInspiral"), rows)
    if "MultiBurst" in extra:
        return _cwb(data, _attributes(data, "MultiBurst"))
    detectors = data.get("instruments") or ""
    numbers = {"gpstime": data["gpstime"], "far": data.get("far"), "ifos": detectors}
    return json.dumps({**_attributes(data, next(iter(extra), "")), **numbers}).encode()


def _attributes(data: Mapping[str, Any], table: str) -> Mapping[str, Any]:
    """Return the only row of a table in an event's extra attributes; empty if there is none."""
    row = (data.get("extra_attributes") or {}).get(table)
    return row if isinstance(row, Mapping) else {}


def _why_not(data: Mapping[str, Any]) -> str:
    """Return why the sandbox cannot hold an event, or an empty text."""
    try:
        before = parse_event(data)
        for field, known in (("group", GROUPS), ("pipeline", PIPELINES), ("search", ["", *SEARCHES])):
            if (data.get(field) or "") not in known:
                return f"the sandbox does not know the {field} {data[field]}"
        after = parse_event({**data, **read_event_file(data["pipeline"], event_file(data))})
    except BadInput as error:
        return str(error).rstrip(".")
    except (ValueError, TypeError, AttributeError, LookupError):
        return f"the attributes of an event of {data['pipeline']} are not as GraceDB makes them"
    return "" if after == before else f"a file made from an event of {data['pipeline']} gives different values"


def _alert(payload: bytes) -> dict[str, Any] | None:
    """Return an alert of GraceDB, or None if the message is not one."""
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    is_alert = isinstance(found, dict) and "alert_type" in found and isinstance(found.get("object"), dict)
    return found if is_alert else None


def _ligolw(data: Mapping[str, Any], coinc: Mapping[str, Any], singles: Sequence[Mapping[str, Any]]) -> bytes:
    seconds, fraction = divmod(float(data["gpstime"]), 1.0)
    time = {"end_time": int(seconds), "end_time_ns": round(fraction * 1e9), "combined_far": data.get("far")}
    tables = [_table("coinc_inspiral", [{**coinc, **time}])]
    if singles:
        tables.append(_table("sngl_inspiral", singles))
    document = E.LIGO_LW(*tables)
    return bytes(etree.tostring(document, xml_declaration=True, encoding="utf-8"))


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    columns = list(rows[0])
    kinds = [_kind([row.get(column) for row in rows]) for column in columns]
    lines = (",".join(_cell(row.get(column)) for column in columns) for row in rows)
    return E.Table(
        *(E.Column(Name=column, Type=kind) for column, kind in zip(columns, kinds, strict=True)),
        E.Stream(",\n".join(lines), Name=f"{name}:table", Delimiter=",", Type="Local"),
        Name=f"{name}:table",
    )


def _kind(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known):
        return "lstring"
    return "int_8s" if known and all(isinstance(value, int) for value in known) else "real_8"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return '"' + value.replace('"', "") + '"' if isinstance(value, str) else repr(value)


def _cwb(data: Mapping[str, Any], burst: Mapping[str, Any]) -> bytes:
    columns = {
        "ifo": str(burst.get("ifos") or data.get("instruments") or "").replace(",", " "), "time": data["gpstime"],
        "rho": burst.get("amplitude") or 0.0, "likelihood": data.get("likelihood") or 0.0,
        "duration": burst.get("duration") or 0.0, "frequency": burst.get("central_freq") or 0.0,
        "bandwidth": burst.get("bandwidth") or 0.0,
    }  # fmt: skip
    if burst.get("mchirp") is not None:
        columns["mchirp"] = burst["mchirp"]
    lines = [f"{name}: {value}" for name, value in columns.items()]
    if data.get("far") is not None:
        lines += ["#significance based on the last day", f"0 {data['far']!r} 0"]
    return "\n".join([*lines, ""]).encode()
