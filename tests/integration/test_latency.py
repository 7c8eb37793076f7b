"""``gwbatch latency``: where the time of each superevent went."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gwbatch.cli import cli
from gwbatch.reports.milestones import MILESTONES, courses, statistics
from tests.integration.alert_harness import AlertHarness
from tests.integration.harness import Harness


def run(harness: Harness, *arguments: str) -> Any:
    return CliRunner().invoke(cli, ["latency", *arguments, "--state", str(harness.folder)])


def test_every_milestone_of_an_announced_superevent_is_reached_in_order(alerting: AlertHarness) -> None:
    harness = alerting
    harness.upload()
    harness.settle(20)
    (course,) = courses(harness.ledger)
    assert set(course.reached) == set(MILESTONES)
    times = list(course.reached.values())
    assert times == sorted(times)
    assert times[0] >= 0
    order = list(course.reached)
    for first, then in (("received", "decided"), ("started", "finished"), ("frozen", "delivered")):
        assert order.index(first) < order.index(then)
    assert course.segments[0][1] == 0.0
    assert all(end == begin for (_, _, end), (_, begin, _) in zip(course.segments, course.segments[1:], strict=False))


def test_what_was_not_reached_is_left_out(harness: Harness) -> None:
    harness.upload(nature=False)
    harness.carry()
    for lane in harness.lanes:
        while lane.step():
            pass
    (course,) = courses(harness.ledger)
    assert "decided" in course.reached
    assert not {"finished", "frozen", "delivered"} & course.reached.keys()


def test_statistics_of_many(harness: Harness) -> None:
    for _ in range(3):
        harness.upload()
        harness.settle(2)
    found = courses(harness.ledger)
    counted = statistics(found)
    assert counted["decided"]["count"] == len(found)
    assert counted["decided"]["p50"] <= counted["decided"]["p95"] <= counted["decided"]["max"]
    assert list(counted) == [name for name in MILESTONES if name in counted]


def test_by_hand(harness: Harness, tmp_path: Path) -> None:
    assert "There are no superevents yet." in run(harness).output
    harness.upload()
    harness.settle(5)
    (superevent,) = harness.superevents()
    name = superevent["superevent_id"]
    told = run(harness)
    assert told.exit_code == 0, told.output
    assert "map job started" in told.output
    assert name in told.output
    picture = tmp_path / "waterfall.png"
    told = run(harness, name, "--json", "--picture", str(picture))
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    assert (found["version"], found["superevents"][0]["superevent_id"]) == (1, name)
    assert found["statistics"]["finished"]["count"] == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(run(harness, "--category", "mdc", "--json").output)["superevents"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["S000101a"], "There is no superevent 'S000101a'"), (["--picture", "/nowhere/x.png"], "Cannot write /nowhere")],
)
def test_what_cannot_be_shown_is_said(harness: Harness, arguments: list[str], words: str) -> None:
    harness.upload()
    harness.settle(2)
    result = run(harness, *arguments)
    assert result.exit_code != 0
    assert words in str(result.exception)
