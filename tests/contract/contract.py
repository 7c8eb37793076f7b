"""The scheduler contract: what the code above the schedulers relies on, for every batch system."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from gwbatch.model import JobState, JobStatus
from gwbatch.schedulers import Scheduler
from gwbatch.schedulers.base import SchedulerBusy
from tests.clusters.waiting import until
from tests.contract.worlds import World

KEY, OTHER = "G1/localize/1", "G2/localize/1"

Begin = Callable[[], Scheduler]


def settle(scheduler: Scheduler, key: str, *states: JobState, seconds: float = 30.0) -> JobStatus:
    end = time.monotonic() + seconds
    while (report := scheduler.poll([key])[key]).state not in states:
        assert time.monotonic() < end, report
        time.sleep(0.02)
    return report


def seen(scheduler: Scheduler, key: str, seconds: float) -> set[JobState]:
    states, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        states.add(scheduler.poll([key])[key].state)
        time.sleep(0.02)
    return states


def cancelled(scheduler: Scheduler, key: str) -> bool:
    """Cancel a job and tell whether that worked; the scheduler may stay busy a little after the silence ends."""
    try:
        scheduler.cancel(key)
    except SchedulerBusy:
        return False
    return True


class SchedulerContract:
    """The contract of any scheduler; a subclass provides the fixture `world`."""

    @pytest.fixture
    def begin(self, world: World) -> Iterator[Begin]:
        """Make schedulers one after another, and close each of them."""
        made: list[Scheduler] = []

        def build() -> Scheduler:
            for earlier in made:
                earlier.close()
            made.append(world.scheduler())
            return made[-1]

        yield build
        world.fall_silent(False)
        for key in (KEY, OTHER):
            until(partial(cancelled, made[-1], key))
        made[-1].close()

    def test_a_job_is_followed_to_its_end(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        native_id = scheduler.submit(world.request(KEY))
        assert native_id
        settle(scheduler, KEY, JobState.QUEUED, JobState.RUNNING)
        world.run(KEY)
        running = settle(scheduler, KEY, JobState.RUNNING)
        world.finish(KEY)
        done = settle(scheduler, KEY, JobState.DONE)
        assert {running.native_id, done.native_id} == {scheduler.find([KEY])[KEY].native_id}
        assert seen(scheduler, KEY, 0.3) == {JobState.DONE}  # an end is never taken back

    def test_what_was_never_submitted_is_not_found(self, begin: Begin) -> None:
        scheduler = begin()
        assert scheduler.find([KEY, OTHER]) == {}

    def test_what_is_described_is_not_submitted(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        text = scheduler.describe(world.request(KEY))
        assert str(world.request(KEY).directory) in text
        assert scheduler.find([KEY]) == {}
        assert world.alive(KEY) == 0

    def test_whoever_begins_again_knows_the_jobs(self, world: World, begin: Begin) -> None:
        begin().submit(world.request(KEY))
        world.run(KEY)
        again = begin()
        assert KEY in again.find([KEY])
        settle(again, KEY, JobState.RUNNING)
        world.finish(KEY)
        settle(begin(), KEY, JobState.DONE)

    def test_one_job_says_nothing_of_another(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        scheduler.submit(world.request(KEY))
        world.run(KEY)
        settle(scheduler, KEY, JobState.RUNNING)
        scheduler.submit(world.request(OTHER))
        world.finish(KEY)
        settle(scheduler, KEY, JobState.DONE)
        assert not scheduler.poll([KEY, OTHER])[OTHER].state.final

    def test_a_cancelled_job_is_gone(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        scheduler.submit(world.request(KEY))
        world.run(KEY)
        settle(scheduler, KEY, JobState.RUNNING)
        assert world.alive(KEY) == 1
        scheduler.cancel(KEY)
        settle(scheduler, KEY, JobState.CANCELLED, JobState.FAILED)
        until(lambda: world.alive(KEY) == 0)  # its result may arrive before its process ends
        scheduler.cancel(KEY)  # cancelling an ended job is no error

    def test_orders_about_unknown_jobs_are_no_error(self, begin: Begin) -> None:
        scheduler = begin()
        scheduler.cancel(KEY)
        scheduler.release(KEY)


class RemoteContract(SchedulerContract):
    """The contract of a scheduler whose batch system may lose a reply, fall silent or forget a job."""

    def test_a_lost_reply_is_an_unknown_outcome_and_the_job_is_found(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        world.lose_a_reply()
        with pytest.raises(SchedulerBusy):
            scheduler.submit(world.request(KEY))
        world.fall_silent(False)
        assert scheduler.find([KEY])[KEY].native_id
        assert begin().find([KEY])[KEY].native_id
        assert world.alive(KEY) == 1

    def test_silence_is_neither_an_end_nor_a_no(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        scheduler.submit(world.request(KEY))
        world.run(KEY)
        settle(scheduler, KEY, JobState.RUNNING)
        world.fall_silent()
        assert not any(state.final for state in seen(scheduler, KEY, 0.5))
        with pytest.raises(SchedulerBusy):
            scheduler.find([OTHER])
        world.fall_silent(False)
        world.finish(KEY)
        settle(scheduler, KEY, JobState.DONE)

    def test_a_vanished_job_is_lost_and_may_be_submitted_anew(self, world: World, begin: Begin) -> None:
        scheduler = begin()
        scheduler.submit(world.request(KEY))
        world.run(KEY)
        settle(scheduler, KEY, JobState.RUNNING)
        world.forget(KEY)
        assert "know" in settle(scheduler, KEY, JobState.LOST).reason
        assert scheduler.find([KEY]) == {}
        scheduler.submit(world.request(OTHER))
        settle(scheduler, OTHER, JobState.QUEUED)
