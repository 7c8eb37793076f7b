"""Times of a job as its node tells them, when the node's clock is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwbatch.dispatcher.watcher import on_our_clock
from gwbatch.model import JobState, JobStatus

times = st.floats(1.7e9, 1.9e9)
spans = st.floats(0.0, 1.0e5)


def report(started: float, finished: float) -> JobStatus:
    return JobStatus("k/1", JobState.DONE, started=started, finished=finished)


@pytest.mark.parametrize(
    ("started", "finished", "shift"),
    [
        (110.0, 140.0, 0.0),
        (3710.0, 3740.0, -3590.0),  # an hour ahead: it can have ended just now at the latest
        (-3490.0, -3460.0, 3590.0),  # an hour behind: it can have started when it was created at the earliest
    ],
)
def test_times_that_cannot_be_true_are_shifted_as_little_as_needed(
    started: float, finished: float, shift: float
) -> None:
    told = on_our_clock(report(started, finished), 100.0, 150.0)
    assert (told.started, told.finished) == (started + shift, finished + shift)


@given(times, spans, spans, spans, st.floats(-1.0e6, 1.0e6))
def test_however_wrong_the_clock_the_order_and_the_run_time_are_right(
    created: float, waited: float, ran: float, noticed: float, error: float
) -> None:
    started, now = created + waited, created + waited + ran + noticed
    told = on_our_clock(report(started + error, started + ran + error), created, now)
    assert told.started is not None
    assert told.finished is not None
    assert created - 1e-5 <= told.started <= told.finished + 1e-5 <= now + 2e-5
    assert told.finished - told.started == pytest.approx(ran, abs=1e-5)
    if error == 0:
        assert told.started == pytest.approx(started, abs=1e-5)


def test_a_job_without_times_stays_as_it_is() -> None:
    assert on_our_clock(JobStatus("k/1", JobState.DONE), 100.0, 150.0).started is None
