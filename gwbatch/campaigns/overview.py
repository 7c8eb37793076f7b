"""How far a campaign is, for people and programs."""

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


def overview(folder: Folder) -> dict[str, Any]:
    """Return how far a campaign is, as ``status --json`` prints it."""
    now = time.time()
    with reading(folder.table) as connection:
        states = counts(connection)
        failed = connection.execute(
            "SELECT id, name, attempts, reason FROM events WHERE state = ? ORDER BY id", (SET_ASIDE,)
        ).fetchall()
        at_fault = connection.execute("SELECT name, at_fault FROM nodes WHERE at_fault IS NOT NULL").fetchall()
        rejected = connection.execute("SELECT path, reason FROM rejected").fetchall()
        cpu, predicted, done = connection.execute(
            "SELECT sum(cpu), sum(predicted), count(*) FROM events WHERE state = ?", (DONE,)
        ).fetchone()
    chunks, report = Chunks(folder.chunks), live.read(folder)
    return {
        "path": str(folder.path),
        "events": states.total(),
        "done": states[DONE],
        "set_aside": states[SET_ASIDE],
        "left": states[WAITING] + states[DEALT],
        "cpu": cpu / done if done else None,
        "cpu_over_predicted": cpu / predicted if predicted else None,
        "live": None
        if report is None
        else {**msgspec.structs.asdict(report), "rate": report.rate, "silent": max(0.0, now - report.updated)},
        "workers": [
            {**msgspec.structs.asdict(beat), "silent": max(0.0, now - chunks.last_sign(beat.worker))}
            for beat in chunks.beats().values()
        ],
        "chunks": chunks.numbers(),
        "nodes_at_fault": {row["name"]: row["at_fault"] for row in at_fault},
        "reasons": dict(Counter(_kind_of(row["reason"]) for row in failed).most_common()),
        "failed": [dict(row) for row in failed],
        "rejected": {row["path"]: row["reason"] for row in rejected},
    }


def _kind_of(reason: str | None) -> str:
    """A reason without what is this event's alone."""
    text = (reason or "no reason was given").partition("; last printed")[0]
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"/\S+/", "", text))
