"""Rate, efficiency and time left of campaigns, whoever does the work."""

from __future__ import annotations

import heapq
import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.campaigns.chunks import Beat, Chunks
from gwbatch.campaigns.estimate import Estimate
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.live import Live
from gwbatch.campaigns.overview import overview
from gwbatch.campaigns.table import Settled, Table, reading
from gwbatch.campaigns.tasks import Outcome
from gwbatch.cli.campaign_results import _lines
from tests.campaign_products import sleepers

HOSTS = {"H1,L1": 18.6, "H1,L1,V1": 40.0, "H1,V1": 41.0, "L1,V1": 39.0}  # predicted CPU s by detectors


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), processes=st.integers(1, 96), slower=st.floats(0.5, 3.0))
def test_the_time_left_is_right_within_15_percent_after_a_tenth_of_the_work(
    seed: int, processes: int, slower: float
) -> None:
    """Events are dealt longest first on a machine of another speed, and predictions are as wrong as was measured."""
    chance = random.Random(seed)
    wrong = {detectors: slower * chance.uniform(0.92, 1.08) for detectors in HOSTS}
    events = []
    for _ in range(40 * processes):
        detectors = chance.choice(list(HOSTS))
        predicted = HOSTS[detectors] * chance.uniform(0.95, 1.05)
        events.append((predicted, detectors, predicted * wrong[detectors] * chance.uniform(0.88, 1.12)))
    events.sort(reverse=True)
    estimate = Estimate([(detectors, predicted) for predicted, detectors, _ in events])
    whole = sum(wall for _, _, wall in events)
    running: list[tuple[float, int]] = []  # when each event ends
    now, waiting, told, ended = 0.0, iter(range(len(events))), None, 0.0
    for _ in range(processes):
        number = next(waiting)
        heapq.heappush(running, (events[number][2], number))
    while running:
        now, number = heapq.heappop(running)
        predicted, detectors, wall = events[number]
        estimate.measured(detectors, predicted, wall)
        ended += wall
        if told is None and ended >= 0.1 * whole:
            told = now, estimate.seconds(processes)
        if (following := next(waiting, None)) is not None:
            heapq.heappush(running, (now + events[following][2], following))
    assert told is not None
    at, left = told
    assert left == pytest.approx(now - at, rel=0.15)


def test_workers_show_rate_efficiency_and_time_left(tmp_path: Path) -> None:
    """Two workers have done 30 events, ten of which are in the table."""
    folder = sleepers(tmp_path / "c", [10.0] * 100)
    with closing(Table(folder.table, 1)) as table:
        table.write(
            {}, [Settled(Outcome(event, "done", "", {}, 20.0, 20.0), "done", 0, 0, "w", 1.0) for event in range(10)], {}
        )
    chunks = Chunks(folder.chunks)
    chunks.make()
    for name, done, age in (("w-1", 20, 150.0), ("w-2", 10, 100.0)):
        beat = Beat(
            name, name, 1, "x", "", 4, working=4, done=done, age=age, cpu=20.0 * done, ahead=100.0, ahead_wall=200.0
        )
        write(chunks.workers / f"{name}.json", beat)
    found = overview(folder)
    assert found["state"] == "running"
    live = found["live"]
    assert (live["done"], live["in_hand"], live["left"], live["processes"]) == (30, 8, 82, 8)
    assert live["nodes"] == {"w-1": 4, "w-2": 4}
    assert live["rate"] == pytest.approx(3600 * (20 / 150 + 10 / 100))
    assert live["efficiency"] == pytest.approx(600 / (4 * 150 + 4 * 100))
    assert live["seconds_left"] == pytest.approx((90 - 20) * 20 / 8)  # each took twice the predicted 10 s
    shown = _lines(found)[1]
    assert "8 in progress on 8 processes, 840 events/h, efficiency 60%, 175 s left" in shown.replace("3 min", "175 s")


def test_workers_that_have_done_nothing_yet_promise_nothing(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 4)
    chunks = Chunks(folder.chunks)
    chunks.make()
    write(chunks.workers / "w.json", Beat("w", "h", 1, "x", "", 4))
    live = overview(folder)["live"]
    assert (live["rate"], live["efficiency"], live["seconds_left"]) == (None, None, None)


def test_an_estimate_from_the_table_is_that_of_the_dealer(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [10.0] * 6, detectors="H1,L1,V1")
    with closing(Table(folder.table, 1)) as table:
        settled = [
            Settled(Outcome(0, "done", "", {}, 9.0, 12.0), "done", 0, 0, "n", 1.0),
            Settled(Outcome(1, "bad-input", "no PSD"), "set aside", 1, 0, "n", 1.0),
        ]
        table.write({2: "n"}, settled, {})
    with reading(folder.table) as connection:
        estimate = Estimate.of_table(connection)
    assert estimate.seconds(2) == pytest.approx(4 * 12 / 2)
    estimate.spent(8.0)
    assert estimate.seconds(2) == pytest.approx((4 * 12 - 8) / 2)
    estimate.spent(1000.0)
    assert estimate.seconds(2) == 0.0


def test_a_report_of_an_earlier_run_does_not_hide_the_workers(tmp_path: Path) -> None:
    folder = Folder(sleepers(tmp_path / "c", [10.0] * 4).path)
    now = time.time()
    write(folder.status, Live(now - 99, now, 2, 0, 2, 0, 2, 0.9, None, {}, ended=True))
    chunks = Chunks(folder.chunks)
    chunks.make()
    write(chunks.workers / "w.json", Beat("w", "h", 1, "x", "", 4, working=1, age=1.0))
    assert overview(folder)["live"]["nodes"] == {"h": 4}
    (chunks.workers / "w.json").unlink()
    assert overview(folder)["live"]["ended"]
