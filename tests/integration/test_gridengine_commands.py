"""The plug-in of ``docs/examples/gridengine`` on fake commands that give the rarer answers of a real cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from gwbatch.errors import ConfigError
from gwbatch.jobs.result import write_json
from gwbatch.model import JobState, JobStatus, Remedy
from gwbatch.schedulers import Scheduler, describe
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from tests.contract.worlds import GRIDENGINE, GridEngineWorld

KEY = "G1/localize/1"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridEngineWorld:
    return GridEngineWorld(tmp_path, monkeypatch)


@pytest.fixture
def scheduler(world: GridEngineWorld) -> Iterator[Scheduler]:
    made = world.scheduler()
    yield made
    made.close()


def settle(scheduler: Scheduler, wanted: JobState, seconds: float = 25.0) -> JobStatus:
    end = time.monotonic() + seconds
    while (report := scheduler.poll([KEY])[KEY]).state is not wanted:
        assert time.monotonic() < end, report
        time.sleep(0.02)
    return report


@pytest.mark.parametrize(
    ("letters", "state", "reason"),
    [
        ("qw", JobState.QUEUED, ""), ("hqw", JobState.HELD, "held: by a person"), ("t", JobState.QUEUED, "being sent"),
        ("r", JobState.RUNNING, ""), ("hr", JobState.RUNNING, ""), ("dr", JobState.RUNNING, "being deleted"),
        ("Rq", JobState.QUEUED, "rescheduled"), ("Rr", JobState.RUNNING, ""), ("s", JobState.RUNNING, "suspended"),
        ("S", JobState.RUNNING, "suspended"), ("Rs", JobState.RUNNING, "suspended"), ("z?", JobState.UNKNOWN, "z?"),
    ],
)  # fmt: skip
def test_letters(letters: str, state: JobState, reason: str, world: GridEngineWorld) -> None:
    from gwbatch_gridengine.states import interpret

    told = interpret(letters)
    assert told[0] is state
    assert reason in told[1]


def test_a_job_in_error_state_is_held_with_its_reason_and_released(
    world: GridEngineWorld, scheduler: Scheduler
) -> None:
    job = scheduler.submit(world.request(KEY))
    world.fake.set(job, "Eqw")
    report = settle(scheduler, JobState.HELD)
    assert report.remedy is Remedy.RELEASE
    assert report.reason == "held: error: can't chdir to /nowhere: No such file or directory"
    scheduler.release(KEY)
    settle(scheduler, JobState.QUEUED)


@pytest.mark.parametrize(
    ("failed", "status", "reason", "code"),
    [
        ("0", 3, "exit code 3", 3),
        ("0", 255, "exit code 255", 255),
        ("37 : qmaster enforced h_rt", 137, "killed by SIGKILL (qmaster enforced h_rt)", -9),
        ("100 : assumedly after job", 137, "killed by SIGKILL", -9),
        ("28 : changing into working directory", 0, "failed: changing into working directory", 0),
    ],
)
def test_how_a_job_ended_the_accounting_says(
    failed: str, status: int, reason: str, code: int, world: GridEngineWorld, scheduler: Scheduler
) -> None:
    job = scheduler.submit(world.request(KEY))
    world.fake.end(job, failed, status)
    report = settle(scheduler, JobState.FAILED)
    assert (report.reason, report.exit_code) == (reason, code)


def test_an_end_that_the_accounting_says_late_is_waited_for(world: GridEngineWorld, scheduler: Scheduler) -> None:
    job = scheduler.submit(world.request(KEY))
    world.fake.set(job, "r")
    settle(scheduler, JobState.RUNNING)
    with world.fake.cell() as cell:
        gone = cell["jobs"].pop(job)
    time.sleep(0.15)  # time for several polls; the site allows 0.3 s
    assert scheduler.poll([KEY])[KEY].state is JobState.RUNNING
    with world.fake.cell() as cell:
        cell["accounted"][job] = {**gone, "failed": "0", "exit_status": 7}
    assert settle(scheduler, JobState.FAILED).reason == "exit code 7"


def test_a_number_that_belonged_to_another_job_says_nothing(world: GridEngineWorld, scheduler: Scheduler) -> None:
    job = scheduler.submit(world.request(KEY))
    with world.fake.cell() as cell:
        cell["accounted"][job] = {**cell["jobs"].pop(job), "name": "another", "failed": "0", "exit_status": 0}
    assert "no longer knows" in settle(scheduler, JobState.LOST).reason


def test_a_job_that_runs_already_while_it_is_being_sent_is_no_second_run(
    world: GridEngineWorld, scheduler: Scheduler
) -> None:
    job = scheduler.submit(world.request(KEY))
    world.fake.set(job, "t")
    settle(scheduler, JobState.QUEUED)
    write_json(world.request(KEY).directory / "started.json", {"key": KEY, "started": time.time(), "host": "n1"})
    settle(scheduler, JobState.RUNNING)
    time.sleep(0.3)  # time for several polls
    assert scheduler.poll([KEY])[KEY].state is JobState.RUNNING
    world.fake.set(job, "Rq")
    settle(scheduler, JobState.QUEUED)


def test_what_was_rescheduled_last_has_not_ended(world: GridEngineWorld, scheduler: Scheduler) -> None:
    job = scheduler.submit(world.request(KEY))
    world.fake.end(job, "25 : rescheduling")
    assert settle(scheduler, JobState.LOST).native_id == job  # it is in no queue, and the accounting knows no end


def test_a_cancelled_job_that_never_ran_is_cancelled_and_not_lost(world: GridEngineWorld, scheduler: Scheduler) -> None:
    scheduler.submit(world.request(KEY))
    settle(scheduler, JobState.QUEUED)
    scheduler.cancel(KEY)
    assert settle(scheduler, JobState.CANCELLED).reason == "cancelled"


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ('Unable to run job: job rejected: the requested parallel environment "x" does not exist\nExiting.', None),
        ('Unable to run job: unknown resource "nosuch"\nExiting.', None),
        ('Unable to run job: can\'t resolve hostname "n9"\nExiting.', None),
        ("Unable to run job: job rejected: no suitable queues\nExiting.", None),
        ("error: commlib error: got select error (Connection refused)", SchedulerBusy),
        ("Unable to run job: unable to send message to qmaster\nExiting.", SchedulerBusy),
    ],
)
def test_a_refusal_is_for_good_and_silence_is_not(
    told: str, error: type[SchedulerError] | None, world: GridEngineWorld, scheduler: Scheduler
) -> None:
    (world.fake.bin / "qsub").write_text(f"#!/bin/sh\ncat > /dev/null\ncat >&2 << 'END'\n{told}\nEND\nexit 1\n")
    with pytest.raises(SchedulerError) as raised:
        scheduler.submit(world.request(KEY))
    assert raised.value.transient == (error is SchedulerBusy)
    assert "Exiting" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "no XML", "<job_info/>", "<!DOCTYPE a [<!ENTITY b SYSTEM '/etc/passwd'>]><a>&b;</a>"]
)
def test_an_answer_that_is_none_is_silence(text: str, world: GridEngineWorld, scheduler: Scheduler) -> None:
    (world.fake.bin / "qstat").write_text(f"#!/bin/sh\ncat << 'END'\n{text}\nEND\n")
    with pytest.raises(SchedulerBusy):
        scheduler.find([KEY])


def test_the_script_of_a_job(world: GridEngineWorld, tmp_path: Path) -> None:
    settings = ["scheduler.python=/opt/python", "scheduler.options.queue=fast", "queues.openmp.min_cores=8"]
    settings += ['queues.openmp.options.requests=["mem_free=8G"]', 'scheduler.environment.A="it\'s $HOME"']
    profile = load_site(str(GRIDENGINE / "gridengine.toml"), settings).profile
    request = replace(world.request(KEY), resources=profile.resources("openmp"), avoid=("n1", "n2"), priority=1100)
    text = describe(profile, tmp_path, request)
    for line in (
        "#$ -N gwbatch.DISPATCHER.G1%2Flocalize%2F1", "#$ -q fast", "#$ -pe smp 8", "#$ -l mem_free=8G",
        "export GWBATCH_WARN_AT=$(($(date +%s) + 3540))",
        "#$ -l exclusive=true", "#$ -l h_rt=3600", "#$ -soft -l hostname=!(n1|n2)", "#$ -p -450",
        "export OMP_NUM_THREADS=$(nproc)", "export A='it'\"'\"'s $HOME'",
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    with pytest.raises(ConfigError, match="takes no space, colon, quote"):
        describe(profile, tmp_path, replace(request, directory=Path("/jobs/a b")))
