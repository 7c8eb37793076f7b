"""The progress of a campaign, for people and programs."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import msgspec

from gwbatch.campaigns import live
from gwbatch.campaigns.chunks import Chunks
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import DEALT, DONE, SET_ASIDE, WAITING, counts, reading


def brief(folder: Folder) -> dict[str, Any]:
    """Return the progress of a campaign without its failures.

    ``state`` is ``done``, ``running``, ``stopped``, or ``silent`` if its processes have stopped reporting.
    """
    now = time.time()
    chunks = Chunks(folder.chunks)
    beats = chunks.beats()
    signs = {worker: chunks.last_sign(worker) for worker in beats}
    with reading(folder.table) as connection:
        states = counts(connection)
        report = live.of_workers(connection, beats, signs) if beats else live.read(folder)
    found = {
        "path": str(folder.path),
        "events": states.total(),
        "done": states[DONE],
        "set_aside": states[SET_ASIDE],
        "left": states[WAITING] + states[DEALT],
        "live": None
        if report is None
        else {**msgspec.structs.asdict(report), "silent": max(0.0, now - report.updated)},
        "workers": [
            {**msgspec.structs.asdict(beat), "silent": max(0.0, now - signs[worker])} for worker, beat in beats.items()
        ],
        "chunks": chunks.numbers(),
    }
    return {**found, "state": _state(found)}


def _state(found: dict[str, Any]) -> str:
    at_work = [one for one in (found["live"], *found["workers"]) if one is not None and not one.get("ended")]
    if not found["left"]:
        return "done"
    if not at_work:
        return "stopped"
    return "running" if min(one["silent"] for one in at_work) <= live.STALE else "silent"


def overview(folder: Folder) -> dict[str, Any]:
    """Return the progress and the failures of a campaign, as ``status --json`` prints them."""
    with reading(folder.table) as connection:
        failed = connection.execute(
            "SELECT id, name, attempts, reason FROM events WHERE state = ? ORDER BY id", (SET_ASIDE,)
        ).fetchall()
        at_fault = connection.execute("SELECT name, at_fault FROM nodes WHERE at_fault IS NOT NULL").fetchall()
        rejected = connection.execute("SELECT path, reason FROM rejected").fetchall()
        cpu, predicted, done = connection.execute(
            "SELECT sum(cpu), sum(predicted), count(*) FROM events WHERE state = ?", (DONE,)
        ).fetchone()
    return {
        **brief(folder),
        "cpu": cpu / done if done else None,
        "cpu_over_predicted": cpu / predicted if predicted else None,
        "nodes_at_fault": {row["name"]: row["at_fault"] for row in at_fault},
        "reasons": dict(Counter(_kind_of(row["reason"]) for row in failed).most_common()),
        "failed": [dict(row) for row in failed],
        "rejected": {row["path"]: row["reason"] for row in rejected},
    }


def _kind_of(reason: str | None) -> str:
    """Return a reason without the details that are specific to one event, so that equal kinds can be counted."""
    text = (reason or "no reason was given").partition("; last printed")[0]
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"/\S+/", "", text))
