"""Latency of superevents: when each one reached its milestones, and statistics over many."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from gwbatch.ledger import Ledger
from gwbatch.reports import query

MILESTONES = {
    "received": "alert received",
    "decided": "superevent decided",
    "created": "superevent in GraceDB",
    "submitted": "map job submitted",
    "started": "map job started",
    "finished": "map made",
    "shown": "map on the superevent",
    "frozen": "notice frozen",
    "delivered": "notice at a broker",
    "stored": "notice in GraceDB",
}
"""Milestones by their columns in the query ``milestones``, in the order in which they are usually reached."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95}


@dataclass(frozen=True)
class Course:
    """The milestones of one superevent.

    Attributes
    ----------
    began : float
        When the first alert about it was published (Unix time in s). If that is unknown, when that alert was received,
        when the superevent was decided on, or when it entered the ledger.
    reached : dict of str to float
        Seconds from `began` to each milestone reached so far, in order of time.
    """

    key: str
    superevent_id: str | None
    preferred: str
    category: str
    t_0: float
    began: float
    reached: dict[str, float] = field(default_factory=dict)

    @property
    def segments(self) -> list[tuple[str, float, float]]:
        """Each milestone with the time when the previous one was reached and its own time (s from `began`)."""
        ends = list(self.reached.items())
        begins = [0.0, *(end for _, end in ends)]
        return [(name, begin, end) for begin, (name, end) in zip(begins, ends, strict=False)]


def courses(ledger: Ledger, names: Sequence[str] = (), category: str = "", limit: int = 50) -> list[Course]:
    """Return the milestones of superevents, newest first.

    Parameters
    ----------
    names : sequence of str
        Local keys or GraceDB IDs; all if empty.
    category : str
        ``production``, ``mdc`` or ``test``; all if empty.
    """
    values = {"category": category, "names": json.dumps(list(names)), "limit": -1 if names else limit}
    return [_course(row) for row in ledger.read(query("milestones"), values)]


def _course(row: Any) -> Course:
    began = next(row[name] for name in ("published", "received", "decided", "known") if row[name] is not None)
    times = {name: row[name] - began for name in MILESTONES if row[name] is not None}
    # Clocks differ slightly, and a repeated step can end later than the step that followed its first try.
    reached = dict(sorted(((name, max(0.0, at)) for name, at in times.items()), key=lambda one: one[1]))
    return Course(row["key"], row["graceid"], row["preferred"], row["category"], row["t_0"], began, reached)


def statistics(found: Sequence[Course]) -> dict[str, dict[str, float]]:
    """Return count, quantiles and maximum of the seconds from the alert to each milestone."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for course in found:
        for name, at in course.reached.items():
            seconds[name].append(at)
    return {name: summary(seconds[name]) for name in MILESTONES if name in seconds}


def summary(times: Sequence[float]) -> dict[str, float]:
    """Return count, quantiles and maximum of one or more times (s)."""
    values = sorted(times)
    last = len(values) - 1
    quantiles = {name: values[min(last, ceil(q * len(values)) - 1)] for name, q in QUANTILES.items()}
    return {"count": len(values), **quantiles, "max": values[-1]}
