"""The story of a superevent as bars on a time axis: what happened, and what it was waiting for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gwbatch.gpstime import gps_to_utc
from gwbatch.reports.milestones import MILESTONES, Course

LATEST_TRIGGER = 3600.0  # s; the time axis begins with the trigger unless the first alert came later than this


@dataclass(frozen=True)
class Bar:
    """An interval or a moment on the time axis.

    Attributes
    ----------
    row : str
        What the bar belongs to; bars of the same row share one line.
    what : str
        ``awaited`` (nothing else could proceed until the next milestone), ``waiting``, ``running``, ``decision``,
        ``upload`` or ``notice``.
    begin, end : float
        Seconds since the beginning of the time axis.
    """

    row: str
    what: str
    text: str
    begin: float
    end: float


def beginning(course: Course) -> tuple[str, float]:
    """Return what the time axis begins with, and when that was (Unix s)."""
    trigger = gps_to_utc(course.t_0).timestamp()
    if 0.0 <= course.began - trigger <= LATEST_TRIGGER:
        return "the trigger", trigger
    return "the first alert", course.began


def story(
    course: Course,
    jobs: Sequence[dict[str, Any]],
    effects: Sequence[dict[str, Any]],
    decisions: Sequence[dict[str, Any]],
    notices: Sequence[dict[str, Any]],
    now: float,
) -> dict[str, Any]:
    """Return the bars of a superevent, row by row, and their time axis.

    Parameters
    ----------
    jobs, effects, decisions, notices : sequence of dict
        As on the superevent's page (`gwbatch.reports.detail.superevent`), with Unix times in s.
    now : float
        When the bars of unfinished jobs end (Unix s).
    """
    origin, zero = beginning(course)
    moved = course.began - zero
    awaited = [
        Bar("waited for", "awaited", MILESTONES[name], begin + moved, end + moved)
        for name, begin, end in course.segments
    ]
    others = [*_decisions(decisions), *_jobs(jobs, now), *_effects(effects), *_notices(notices)]
    bars = awaited + [Bar(one.row, one.what, one.text, one.begin - zero, one.end - zero) for one in others]
    return {
        "origin": origin,
        "zero": zero,
        "until": _until(awaited, bars),
        "rows": [
            {
                "row": row,
                "bars": [{"what": one.what, "text": one.text, "begin": one.begin, "end": one.end} for one in own],
            }
            for row, own in _by_row(bars)
        ],
    }


def _until(awaited: Sequence[Bar], bars: Sequence[Bar]) -> float:
    """Return where the time axis ends: 15 % beyond the last milestone, so that later changes do not compress the rest.

    A superevent with at most two milestones shows all its bars.
    """
    ends = [one.end for one in awaited] if len(awaited) > 2 else [one.end for one in bars]
    return max([1.0, *ends]) * 1.15


def _decisions(decisions: Sequence[dict[str, Any]]) -> Iterator[Bar]:
    for one in decisions:
        yield Bar("decisions", "decision", f"{one['action']}: {one['reason']}", one["at"], one["at"])


def _jobs(jobs: Sequence[dict[str, Any]], now: float) -> Iterator[Bar]:
    for job in jobs:
        row = f"job {job['key']}"
        began = job["started"] or job["finished"] or now
        yield Bar(row, "waiting", f"waiting for a node of {job['queue']}", job["created"], began)
        if job["started"] is not None:
            where = f" on {job['host']}" if job["host"] else ""
            yield Bar(row, "running", f"{job['state']}{where}", job["started"], job["finished"] or now)


def _effects(effects: Sequence[dict[str, Any]]) -> Iterator[Bar]:
    for effect in effects:
        if effect["finished"] is not None:
            yield Bar("effects", "upload", f"{effect['key']} {effect['state']}", effect["created"], effect["finished"])


def _notices(notices: Sequence[dict[str, Any]]) -> Iterator[Bar]:
    for notice in notices:
        row = f"notice {notice['name']}"
        if notice["frozen"] is not None:
            yield Bar(row, "waiting", "planned to frozen", notice["planned"], notice["frozen"])
            for send in notice["brokers"]:
                if send["delivered"] is not None:
                    yield Bar(row, "notice", f"to {send['broker']}", notice["frozen"], send["delivered"])


def _by_row(bars: Sequence[Bar]) -> Iterator[tuple[str, list[Bar]]]:
    rows: dict[str, list[Bar]] = {}
    for one in bars:
        rows.setdefault(one.row, []).append(one)
    yield from rows.items()
