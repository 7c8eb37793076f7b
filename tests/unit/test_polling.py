"""Polling of a batch system while somebody sets the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gwbatch.clock import GuardedClock
from gwbatch.config.profile import SchedulerSettings
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.polling import PollingScheduler
from gwbatch.schedulers.records import JobRecord

KEY = "G1/localize/1"
HOUR = 3600.0


class Queue:
    """A batch system in memory."""

    def __init__(self) -> None:
        self.told: list[JobRecord] = []

    def submit(self, text: str, environment: Mapping[str, str]) -> str:
        self.told.append(JobRecord(text, "7"))
        return "7"

    def jobs(self) -> list[JobRecord]:
        return self.told

    def details(self, record: JobRecord) -> JobRecord | None:
        return None

    def cancel(self, native_id: str) -> None:
        self.told = []

    def release(self, native_id: str) -> None:
        pass

    def say(self, **changes: object) -> None:
        self.told = [replace(self.told[0], **changes)]  # type: ignore[arg-type]


class Batch(PollingScheduler):
    name, whom = "batch", "the batch system"

    def describe(self, request: JobRequest) -> str:
        return request.key


class Wall:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.by = 0.0

    def now(self) -> float:
        return time.time() + self.by


SETTINGS = SchedulerSettings(kind="local", ask_soonest=0.0, ask_every=0.01)


def wait(scheduler: Batch, wanted: JobState) -> None:
    end = time.monotonic() + 20
    while scheduler.poll([KEY])[KEY].state is not wanted:
        assert time.monotonic() < end, scheduler.poll([KEY])[KEY]
        time.sleep(0.01)


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])
@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_answers_count_though_the_clock_was_set(step: float, restart: bool, tmp_path: Path) -> None:
    """If the time of day counted, every answer would seem older than the known state for an hour."""
    wall, queue = Wall(), Queue()
    scheduler = Batch(tmp_path, SETTINGS, queue, GuardedClock(wall.now))
    scheduler.submit(JobRequest(KEY, "localize", "openmp", tmp_path / "job"))
    queue.say(state=JobState.RUNNING, started=time.time())
    wait(scheduler, JobState.RUNNING)
    wall.by = step
    if restart:
        scheduler.close()
        scheduler = Batch(tmp_path, SETTINGS, queue, GuardedClock(wall.now))
    queue.say(state=JobState.FAILED, exit_code=9, reason="killed", sudden=True)
    wait(scheduler, JobState.FAILED)
    scheduler.close()
