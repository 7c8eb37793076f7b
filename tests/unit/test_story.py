"""The story of a superevent: one time axis, what it was waiting for, and no squeezing by updates days later."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from gwbatch.gpstime import gps_to_utc
from gwbatch.reports.milestones import Course
from gwbatch.reports.story import story

T_0 = 1.4e9
TRIGGER = gps_to_utc(T_0).timestamp()
REACHED = {"received": 0.1, "decided": 0.2, "submitted": 0.5, "started": 4.0, "finished": 40.0, "delivered": 42.0}


def course(began: float) -> Course:
    return Course("S@G1", "S1", "G1", "production", T_0, began, REACHED)


def job(**more: Any) -> dict[str, Any]:
    known = {"key": "G1/localize", "queue": "openmp", "state": "DONE", "host": "node", "created": TRIGGER + 8}
    return {**known, "started": TRIGGER + 12, "finished": TRIGGER + 48, **more}


def test_the_scale_begins_with_the_trigger_and_what_was_waited_for_has_no_gap() -> None:
    told = story(course(TRIGGER + 8), [job()], [], [], [], TRIGGER + 60)
    assert (told["origin"], told["zero"]) == ("the trigger", TRIGGER)
    rows = {row["row"]: row["bars"] for row in told["rows"]}
    awaited = rows["waited for"]
    assert [one["text"] for one in awaited][-1] == "notice at a broker"
    assert awaited[0]["begin"] == 8.0
    assert all(one["end"] == after["begin"] for one, after in pairwise(awaited))
    assert [(one["what"], one["begin"], one["end"]) for one in rows["job G1/localize"]] == [
        ("waiting", 8.0, 12.0), ("running", 12.0, 48.0),
    ]  # fmt: skip


def test_an_event_that_is_replayed_begins_with_its_first_alert() -> None:
    told = story(course(TRIGGER + 1e8), [], [], [], [], TRIGGER + 1e8)
    assert (told["origin"], told["zero"]) == ("the first alert", TRIGGER + 1e8)


def test_what_runs_still_ends_now() -> None:
    told = story(course(TRIGGER + 8), [job(started=None, finished=None), job(finished=None)], [], [], [], TRIGGER + 30)
    bars = [bar for row in told["rows"] if row["row"].startswith("job ") for bar in row["bars"]]
    assert [bar["end"] for bar in bars] == [30.0, 12.0, 30.0]


def test_what_comes_days_later_does_not_squeeze_the_picture() -> None:
    late = {"name": "update", "planned": TRIGGER + 2e5, "frozen": TRIGGER + 2e5 + 1, "brokers": []}
    told = story(course(TRIGGER + 8), [job()], [], [], [late], TRIGGER + 3e5)
    assert told["until"] < 60
    (bar,) = next(row["bars"] for row in told["rows"] if row["row"] == "notice update")
    assert bar["begin"] == 2e5
