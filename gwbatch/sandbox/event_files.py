"""Readers for the files that pipelines upload, extracting what GraceDB extracts."""

from __future__ import annotations

import csv
import json
import re
from datetime import datetime
from typing import Any

from lxml import etree

from gwbatch.gpstime import utc_to_gps

_COINC_FIELDS = (
    "ifos", "end_time", "end_time_ns", "mass", "mchirp", "minimum_duration", "snr", "false_alarm_rate", "combined_far",
)  # fmt: skip
_SINGLE_FIELDS = (
    "ifo", "snr", "chisq", "end_time", "end_time_ns", "mass1", "mass2", "mchirp", "mtotal", "eta", "coa_phase",
    "eff_distance", "channel", "template_duration", "f_final", "sigmasq", "spin1z", "spin2z",
)  # fmt: skip
_GRB_FIELDS = (
    "ivorn", "author_ivorn", "author_shortname", "observatory_location_id", "coord_system", "ra", "dec", "error_radius",
    "how_description", "how_reference_url", "T90", "trigger_duration", "designation", "redshift", "trigger_id",
)  # fmt: skip
_EXTERNAL = ("fermi", "swift", "svom", "snews", "integral", "agile", "icecube", "chime", "einsteinprobe")


def read_event_file(pipeline: str, content: bytes) -> dict[str, Any]:
    """Read the fields of an event that its uploaded file determines.

    Raises
    ------
    ValueError
        If the file is not in the pipeline's format.
    """
    kind = pipeline.lower()
    try:
        if kind == "cwb":
            found = _cwb(content.decode())
        elif kind in _EXTERNAL and content.lstrip()[:1] == b"<":
            found = _voevent(content)
        elif kind in _EXTERNAL:
            found = _notice(json.loads(content))
        elif content.lstrip()[:1] == b"{":
            found = _burst_json(kind, json.loads(content))
        else:
            found = _ligolw(content)
        for name in ("gpstime", "far", "likelihood"):
            if found.get(name) is not None:
                found[name] = float(found[name])
        json.dumps(found, allow_nan=False)
        return found
    except Exception as error:  # any upload can be malformed; the server must survive it
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _parse(content: bytes) -> Any:
    return etree.fromstring(
        content, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    )


def _tables(root: Any) -> dict[str, list[dict[str, Any]]]:
    """Read the tables of a LIGO_LW document as rows.

    Empty entries become None. If the last row is too short, it lacks the trailing columns.
    """
    tables = {}
    for table in root.iter("Table"):
        columns = [(column.get("Name").split(":")[-1], column.get("Type")) for column in table.iter("Column")]
        stream = table.find("Stream")
        text = "" if stream is None else " ".join((stream.text or "").split("\n"))
        cells = [cell.strip() for cell in next(csv.reader([text.strip()], skipinitialspace=True), [])]
        if len(cells) % len(columns) == 1 and cells[-1] == "":
            cells.pop()
        rows = [cells[i : i + len(columns)] for i in range(0, len(cells), len(columns))]
        name = (table.get("Name") or "").removesuffix(":table").split(":")[-1]
        tables[name] = [
            {column: _value(cell, kind) for (column, kind), cell in zip(columns, row, strict=False)} for row in rows
        ]
    return tables


def _value(cell: str, kind: str) -> Any:
    if cell == "":
        return None
    if kind.startswith(("int", "real")):
        return float(cell) if kind.startswith("real") else int(float(cell))
    return cell


def _ligolw(content: bytes) -> dict[str, Any]:
    tables = _tables(_parse(content))
    if "coinc_inspiral" not in tables and "sim_inspiral" in tables:
        row = tables["sim_inspiral"][0]
        seconds, nanoseconds = row["geocent_end_time"], row.get("geocent_end_time_ns") or 0
        return {"gpstime": _gps(seconds, nanoseconds), "extra_attributes": {"SimInspiral": row}}
    coinc = tables["coinc_inspiral"][0]
    singles = tables.get("sngl_inspiral", [])
    extra: dict[str, Any] = {"CoincInspiral": {name: coinc.get(name) for name in _COINC_FIELDS}}
    extra["SingleInspiral"] = [{name: single.get(name) for name in _SINGLE_FIELDS} for single in singles]
    return {
        "gpstime": _gps(coinc["end_time"], coinc.get("end_time_ns") or 0),
        "far": coinc.get("combined_far"),
        "instruments": coinc.get("ifos") or "",
        "nevents": len(singles),
        "likelihood": (tables.get("coinc_event") or [{}])[0].get("likelihood"),
        "extra_attributes": extra,
    }


def _gps(seconds: int, nanoseconds: int) -> float:
    """Round a GPS time (s) to the microseconds that GraceDB keeps."""
    return round(float(f"{seconds}.{nanoseconds:09d}"), 6)


def _cwb(text: str) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = re.match(r"(\w+):\s*(.*)", line)
        if match:
            fields.setdefault(match[1], match[2].split())
    day = re.search(r"#significance based on the last day.*\n\s*\S+\s+(\S+)", text)
    ifos = ",".join(fields["ifo"])
    burst = {
        "ifos": ifos,
        "amplitude": float(fields["rho"][0]),
        "snr": float(fields["likelihood"][0]) ** 0.5,
        "duration": float(fields["duration"][0]),
        "central_freq": float(fields["frequency"][0]),
        "bandwidth": float(fields["bandwidth"][0]),
    }
    if "mchirp" in fields:
        burst["mchirp"] = float(fields["mchirp"][0])
    return {
        "gpstime": float(fields["time"][0]),
        "far": float(day[1]) if day else None,
        "instruments": ifos,
        "nevents": 1,
        "likelihood": float(fields["likelihood"][0]),
        "extra_attributes": {"MultiBurst": burst},
    }


def _burst_json(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    table = {"mly": "MLyBurst", "olib": "LalInferenceBurst"}.get(kind, kind)
    return {
        "gpstime": float(data["gpstime"]),
        "far": data.get("far"),
        "instruments": ",".join(data.get("ifos", []))
        if isinstance(data.get("ifos"), list)
        else str(data.get("ifos") or ""),
        "extra_attributes": {table: data},
    }


def _notice(data: dict[str, Any]) -> dict[str, Any]:
    """Read a GCN notice in JSON."""
    identity = data["id"]
    error = data.get("ra_dec_error", data.get("ra_uncertainty"))
    grb = dict.fromkeys(_GRB_FIELDS) | {
        "ivorn": data.get("ivorn") or data.get("$schema"),
        "author_shortname": data.get("mission") or data.get("instrument"),
        "ra": data.get("ra"),
        "dec": data.get("dec"),
        "error_radius": max(error[:2]) if isinstance(error, list) else error,
        "trigger_duration": data.get("rate_duration", data.get("image_duration")),
        "trigger_id": "_".join(map(str, identity)) if isinstance(identity, list) else str(identity),
    }
    moment = datetime.fromisoformat(str(data["trigger_time"]).replace(" ", "T", 1))
    return {"gpstime": utc_to_gps(moment), "far": data.get("far"), "extra_attributes": {"GRB": grb}}


def _voevent(content: bytes) -> dict[str, Any]:
    root = _parse(content)

    def text(path: str) -> str | None:
        value = root.findtext(path)
        return value.strip() if value and value.strip() else None

    def number(value: str | None) -> float | None:
        return None if value is None else float(value)

    params = {param.get("name"): param.get("value") for param in root.iter("Param")}
    iso = text(".//ISOTime")
    coords = root.find(".//AstroCoords")
    location = root.find(".//ObservatoryLocation")
    grb = {
        "ivorn": root.get("ivorn"),
        "author_ivorn": text(".//AuthorIVORN"),
        "author_shortname": text(".//shortName"),
        "observatory_location_id": None if location is None else location.get("id"),
        "coord_system": None if coords is None else coords.get("coord_system_id"),
        "ra": number(text(".//Value2/C1")),
        "dec": number(text(".//Value2/C2")),
        "error_radius": number(text(".//Error2Radius")),
        "how_description": text("./How/Description"),
        "how_reference_url": None,
        "T90": None,
        "trigger_duration": number(params.get("Trig_Timescale") or params.get("Integ_Time")),
        "designation": None,
        "redshift": None,
        "trigger_id": params.get("TrigID") or params.get("Trans_Num") or params.get("Burst_Id"),
    }
    if iso is None:
        raise ValueError("no ISOTime")
    return {"gpstime": utc_to_gps(datetime.fromisoformat(iso)), "extra_attributes": {"GRB": grb}}
