"""The table of results, ``allsky.dat`` and ``allsky.fits``, in the format that the field's tools read.

The columns of ``ligo-skymap-stats`` come first, in its order and units.  Our own columns follow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import DONE, reading

STATISTICS = ("volume-stats", "stats")  # products to take statistics from; the first that an event has is used
OF_THE_EVENT = ("simulation_id", "far", "snr")
OF_INJECTIONS = ("searched_area", "searched_prob", "searched_prob_dist", "searched_vol", "searched_prob_vol", "offset")
OF_THE_MAP = ("runtime", "distmean", "diststd", "log_bci", "log_bsn")
OURS = ("name", "detectors", "cpu", "wall", "memory", "node", "sha256")


def columns(contours: Sequence[float], *, injections: bool) -> list[str]:
    """Return the names of the columns.

    Parameters
    ----------
    injections : bool
        Whether the true position of any event is known.
    """
    levels = [f"{quantity}({level:g})" for quantity in ("area", "dist", "vol") for level in contours]
    return [
        "coinc_event_id", *((*OF_THE_EVENT, *OF_INJECTIONS) if injections else ()), *OF_THE_MAP, *levels, *OURS
    ]  # fmt: skip


def rows(folder: Folder) -> list[dict[str, Any]]:
    """Return the events that are done, with everything known about each; unknown values are None or absent."""
    found = []
    with reading(folder.table) as connection:
        done = connection.execute("SELECT * FROM events WHERE state = ? ORDER BY id", (DONE,)).fetchall()
    for row in done:
        facts, truth = json.loads(row["facts"]), json.loads(row["truth"] or "{}")
        statistics: dict[str, Any] = next((facts[name] for name in STATISTICS if name in facts), {})
        known = {
            "coinc_event_id": row["id"], "simulation_id": truth.get("simulation_id"), "far": row["far"],
            "snr": row["snr"], "name": row["name"], "detectors": row["detectors"], "cpu": row["cpu"],
            "wall": row["wall"], "memory": row["memory"], "node": row["holder"], "finished": row["finished"],
            "predicted": row["predicted"],
        }  # fmt: skip
        found.append({**known, **facts.get("map", {}), **statistics, "truth": truth})
    return found


def has_injections(found: Sequence[dict[str, Any]]) -> bool:
    """Tell whether the true position of any event is known."""
    return any(row["truth"] for row in found)


def write_table(folder: Folder, output: Path) -> int:
    """Write ``allsky.dat`` with ``allsky.fits`` beside it, and return the number of events in them."""
    found = rows(folder)
    names = columns(folder.settings().science.contours, injections=has_injections(found))
    lines = ["# " + " ".join(sys.argv), "\t".join(names)]
    lines += ["\t".join(_text(row.get(name)) for name in names) for row in found]
    temporary = output.with_name(f".{output.name}.new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(output)
    _write_fits(found, names, output.with_suffix(".fits"))
    return len(found)


def _text(value: Any) -> str:
    return "nan" if value is None else str(value)


def _write_fits(found: Sequence[dict[str, Any]], names: Sequence[str], output: Path) -> None:
    from astropy.table import Table

    table = Table({name: _column(name, [row.get(name) for row in found]) for name in names})
    temporary = output.with_name(f".new-{output.name}")
    table.write(temporary, format="fits", overwrite=True)
    temporary.replace(output)


def _column(name: str, values: list[Any]) -> list[Any]:
    if name in ("name", "detectors", "node", "sha256"):
        return [value or "" for value in values]
    if name == "coinc_event_id":
        return values
    return [float("nan") if value is None else value for value in values]
