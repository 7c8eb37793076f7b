"""The HTCondor scheduler against a fake pool on PATH, whose commands lag, hang, lie, return nothing or fail.

The tests on a real pool are in ``tests/clusters``; these cover what a real pool does not do on demand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gwbatch.config.profile import Resources, SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.jobs.result import write_json
from gwbatch.ledger import jobs
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.htcondor.schedd import BoundSchedd, CommandSchedd, open_schedd, refusal
from gwbatch.schedulers.htcondor.scheduler import HTCondorScheduler
from tests.fakes.condor import FakeCondor
from tests.integration.harness import Harness, Server, well

KEY = "G1/localize/1"
PATIENCE = 1.5  # s; the fake commands take a tenth of it


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCondor:
    fake = FakeCondor(tmp_path / "pool").install()
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    return fake


@pytest.fixture
def make(tmp_path: Path, pool: FakeCondor) -> Iterator[Callable[..., HTCondorScheduler]]:
    made: list[HTCondorScheduler] = []

    def build(ask_every: float = 0.0) -> HTCondorScheduler:
        settings = SchedulerSettings(kind="htcondor", bindings="cli", ask_every=ask_every)
        made.append(HTCondorScheduler(tmp_path / "htcondor", settings, CommandSchedd(PATIENCE)))
        return made[-1]

    yield build
    for scheduler in made:
        scheduler.close()


def request(tmp_path: Path, key: str = KEY) -> JobRequest:
    directory = tmp_path / key.replace("/", "-")
    directory.mkdir(exist_ok=True)
    return JobRequest(key, "localize", "openmp", directory, ("job.json",), ("map.fits",), Resources(cores=0))


def settle(scheduler: HTCondorScheduler, wanted: JobState, key: str = KEY, seconds: float = 20.0) -> JobStatus:
    """Poll until the job reaches a state."""
    end = time.monotonic() + seconds
    while (report := scheduler.poll([key])[key]).state is not wanted:
        assert time.monotonic() < end, report
        time.sleep(0.02)
    return report


def poll_for(scheduler: HTCondorScheduler, seconds: float, key: str = KEY) -> set[JobState]:
    """Return every state that is reported within `seconds`."""
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.add(scheduler.poll([key])[key].state)
        time.sleep(0.02)
    return seen


def test_a_job_is_followed_through_the_log_and_nobody_is_asked(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make(ask_every=60.0)
    job = scheduler.submit(request(tmp_path))
    assert settle(scheduler, JobState.QUEUED).native_id == job
    pool.start(job, "node7")
    running = settle(scheduler, JobState.RUNNING)
    assert (running.host, running.cores) == ("node7", 8)
    pool.end(job)
    assert settle(scheduler, JobState.DONE).exit_code == 0
    time.sleep(0.5)
    assert pool.calls("condor_q") <= 2  # one query, and a check that condor_q works if it printed nothing


def test_a_submission_whose_reply_is_lost_is_found_and_not_repeated(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    pool.behave(condor_submit="lose")
    with pytest.raises(SchedulerBusy):
        scheduler.submit(request(tmp_path))
    pool.behave()
    assert scheduler.find([KEY])[KEY].native_id == "1.0"
    assert len(pool.jobs) == 1


def test_a_lost_reply_is_found_without_the_log_too(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    pool.behave(condor_submit="lose")
    with pytest.raises(SchedulerBusy):
        scheduler.submit(request(tmp_path))
    (tmp_path / "htcondor" / "events.log").unlink()
    assert make().find([KEY])[KEY].state is JobState.QUEUED


def test_what_was_never_submitted_is_not_found(make: Callable[..., HTCondorScheduler]) -> None:
    assert make().find([KEY]) == {}


@pytest.mark.parametrize("mode", ["hang", "fail", "empty", "garbage"])
def test_whoever_cannot_be_asked_has_not_said_no(
    mode: str, make: Callable[..., HTCondorScheduler], pool: FakeCondor
) -> None:
    pool.behave(condor_q=mode)
    with pytest.raises(SchedulerBusy):
        make().find([KEY])


@pytest.mark.parametrize("mode", ["hang", "fail", "empty", "garbage"])
def test_a_submission_without_an_answer_may_have_happened(
    mode: str, make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    pool.behave(condor_submit=mode)
    with pytest.raises(SchedulerBusy) as raised:
        make().submit(request(tmp_path))
    assert raised.value.transient


def test_a_submission_that_is_refused_is_refused_for_good(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    pool.behave(condor_submit="refuse")
    with pytest.raises(SchedulerError, match="Parse error") as raised:
        make().submit(request(tmp_path))
    assert not raised.value.transient


def test_while_the_schedd_hangs_nobody_waits_twice(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    pool.behave(condor_submit="hang")
    with pytest.raises(SchedulerBusy):
        scheduler.submit(request(tmp_path))
    began = time.monotonic()
    with pytest.raises(SchedulerBusy, match="hung a moment ago"):
        scheduler.submit(request(tmp_path, "G2/localize/1"))
    assert time.monotonic() - began < PATIENCE / 2
    assert scheduler.find([KEY]) == {}  # a hung submission does not block queries


def test_a_slow_question_keeps_no_submission_waiting(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    pool.behave(condor_q="hang")
    with pytest.raises(SchedulerBusy):
        scheduler.find([KEY])
    scheduler.submit(request(tmp_path))
    assert len(pool.jobs) == 1


@pytest.mark.parametrize(
    ("text", "for_good"),
    [
        ("ERROR: Parse error in expression: RequestCpus = 2 +", True),
        (
            "ERROR: Failed to commit job submission into the queue.\nERROR: Submit requirement ACCT evaluated false",
            True,
        ),
        ("ERROR: Failed to commit job submission into the queue.", False),
        ("ERROR: Number of submitted jobs would exceed MAX_JOBS_PER_OWNER", False),
        ("ERROR: can't open log: No space left on device", False),
        ("ERROR: Failed to connect to local queue manager", False),
        ("", False),
    ],
)
def test_only_what_nobody_can_wait_out_is_refused_for_good(text: str, for_good: bool) -> None:
    assert refusal(text).transient is not for_good


@pytest.mark.parametrize("mode", ["hang", "fail", "empty", "garbage"])
def test_silence_is_not_an_end(
    mode: str, make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    job = scheduler.submit(request(tmp_path))
    pool.start(job)
    settle(scheduler, JobState.RUNNING)
    pool.behave(condor_q=mode)
    assert poll_for(scheduler, 2.5) == {JobState.RUNNING}
    pool.behave()
    pool.end(job)
    settle(scheduler, JobState.DONE)


def test_an_end_that_the_log_does_not_tell_is_learned_from_the_jobs_result(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    wanted = request(tmp_path)
    job = scheduler.submit(wanted)
    pool.start(job)
    settle(scheduler, JobState.RUNNING)
    write_json(wanted.directory / "result.json", {"key": KEY, "error": None, "outputs": {}})
    pool.end(job, silently=True)
    settle(scheduler, JobState.DONE)


def test_a_start_and_a_hold_that_the_log_does_not_tell_are_learned_from_the_queue(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    job = scheduler.submit(request(tmp_path))
    log = tmp_path / "htcondor" / "events.log"
    log.unlink()
    pool.start(job)
    log.unlink()
    settle(scheduler, JobState.RUNNING)
    pool.hold(job, 13, "Transfer input files failure")
    log.unlink()
    assert settle(scheduler, JobState.HELD).reason == "held: Transfer input files failure (code 13)"


def test_a_job_that_vanished_is_lost_only_when_that_was_said_more_than_once(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make()
    job = scheduler.submit(request(tmp_path))
    settle(scheduler, JobState.QUEUED)
    pool.vanish(job)
    asked = pool.calls("condor_q")
    assert "the schedd no longer knows the job" in settle(scheduler, JobState.LOST).reason
    assert pool.calls("condor_q") - asked >= 2
    assert pool.calls("condor_rm") == 1  # even if the schedd was wrong, the job cannot run alongside the next attempt


def test_of_two_jobs_with_one_key_the_older_stays(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    scheduler = make(ask_every=60.0)
    first = scheduler.submit(request(tmp_path))
    settle(scheduler, JobState.QUEUED)
    pool.start(first)
    settle(scheduler, JobState.RUNNING)
    time.sleep(0.5)
    second = CommandSchedd(PATIENCE).submit(scheduler.describe(request(tmp_path)))
    end, seen = time.monotonic() + 10, set()
    while second in pool.jobs:  # seen in the log and removed at once, not at the next query a minute later
        assert time.monotonic() < end
        seen.add(scheduler.poll([KEY])[KEY].state)
        time.sleep(0.05)
    seen |= poll_for(scheduler, 0.5)
    assert seen == {JobState.RUNNING}
    assert list(pool.jobs) == [first]
    pool.end(first)
    settle(scheduler, JobState.DONE)


def test_a_dispatcher_that_starts_again_knows_where_its_jobs_stand(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    first = make()
    job = first.submit(request(tmp_path))
    pool.start(job)
    settle(first, JobState.RUNNING)
    first.close()
    pool.behave(condor_q="hang")
    assert make().poll([KEY])[KEY].state is JobState.RUNNING


def test_two_dispatchers_with_the_same_keys_do_not_take_each_others_jobs(
    make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path
) -> None:
    make().submit(request(tmp_path))
    settings = SchedulerSettings(kind="htcondor", bindings="cli")
    other = HTCondorScheduler(tmp_path / "other", settings, CommandSchedd(PATIENCE))
    assert other.find([KEY]) == {}
    other.cancel(KEY)
    assert len(pool.jobs) == 1


def test_cancelled_and_released(make: Callable[..., HTCondorScheduler], pool: FakeCondor, tmp_path: Path) -> None:
    scheduler = make(ask_every=60.0)
    job = scheduler.submit(request(tmp_path))
    pool.hold(job, 1, "via condor_hold")
    settle(scheduler, JobState.HELD)
    scheduler.release(KEY)
    settle(scheduler, JobState.QUEUED)
    scheduler.cancel(KEY)
    assert "removed from the queue: via condor_rm" in settle(scheduler, JobState.FAILED).reason
    scheduler.cancel(KEY)  # no error for a job that has ended


def test_without_bindings_and_commands_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="condor_submit, condor_q, condor_rm not on PATH"):
        open_schedd("cli", 1.0)


# ---- the dispatcher above it ------------------------------------------------------------------------------


@pytest.fixture
def harness(tmp_path: Path, server: Server, make: Callable[..., HTCondorScheduler]) -> Iterator[Harness]:
    made = Harness(tmp_path / "state", server)
    made.scheduler = make()  # type: ignore[assignment]
    made.profile = msgspec.structs.replace(
        made.profile, scheduler=SchedulerSettings(hold_releases=2, hold_release_after=5.0)
    )
    made.restart()
    yield made
    made.ledger.close()


def localize(harness: Harness) -> jobs.Job:
    (row,) = harness.ledger.read("SELECT key FROM jobs WHERE kind = 'localize'")
    job = jobs.get(harness.ledger.connection, row["key"])
    assert job is not None
    return job


def until(harness: Harness, done: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, harness.ledger.read("SELECT key, state, reason FROM jobs")[0][:]
        harness.step()
        harness.clock.advance(0.2)
        time.sleep(0.02)


def test_a_held_job_is_released_twice_then_tried_elsewhere(harness: Harness, pool: FakeCondor) -> None:
    harness.upload()
    until(harness, lambda: "1.0" in pool.jobs)
    for releases in (1, 2):
        pool.start("1.0", "badnode")
        pool.hold("1.0", 13, "Transfer output files failure")
        until(harness, lambda releases=releases: localize(harness).releases == releases)  # type: ignore[misc]
        until(harness, lambda: pool.jobs["1.0"]["JobStatus"] == 1)
    pool.start("1.0", "badnode")
    pool.hold("1.0", 13, "Transfer output files failure")
    until(harness, lambda: localize(harness).attempt == 2 and localize(harness).state is JobState.QUEUED)
    assert list(pool.jobs) == ["2.0"]
    assert localize(harness).avoid == ("badnode",)


def test_a_job_that_a_person_holds_waits_for_that_person_until_its_deadline(harness: Harness, pool: FakeCondor) -> None:
    harness.upload()
    until(harness, lambda: "1.0" in pool.jobs)
    pool.hold("1.0", 1, "via condor_hold (by user x)")
    until(harness, lambda: localize(harness).state is JobState.HELD)
    since = harness.clock.now()
    until(harness, lambda: localize(harness).attempt == 2)
    assert harness.clock.now() - since >= 19.0  # the harness's held_deadline is 20 s
    assert pool.calls("condor_release") == 0


def test_an_event_becomes_products_through_the_commands(harness: Harness, pool: FakeCondor) -> None:
    graceid = harness.upload()

    def run_what_is_queued() -> bool:
        for job, ad in list(pool.jobs.items()):
            if ad["JobStatus"] == 1 and (row := harness.ledger.read(
                "SELECT key, attempt, kind, directory FROM jobs WHERE native_id = ?", (job,)
            )):  # fmt: skip
                pool.start(job)
                output = next(
                    iter(jobs.get(harness.ledger.connection, row[0]["key"]).request["outputs"])  # type: ignore[union-attr]
                )
                key, directory = f"{row[0]['key']}/{row[0]['attempt']}", Path(row[0]["directory"])
                well(JobRequest(key, row[0]["kind"], "general", directory, (), (output, "result.json")))
                pool.end(job)
        states = set(harness.states("jobs").values())
        return states == {"DONE"} and len(harness.states("jobs")) >= 6

    until(harness, run_what_is_queued, 60.0)
    harness.settle(5.0)
    assert "bayestar.multiorder.fits,0" in harness.files(graceid)
    assert harness.dead() == []


@pytest.mark.parametrize(("release", "way"), [("23.9.6", CommandSchedd), ("own", BoundSchedd), ("", BoundSchedd)])
def test_bindings_of_another_release_than_the_pools_are_not_used(
    release: str, way: type[object], pool: FakeCondor, caplog: pytest.LogCaptureFixture
) -> None:
    """Bindings of release 25 cannot authenticate to a schedd of release 23, as seen on a real pool."""
    htcondor2 = pytest.importorskip("htcondor2")
    text = htcondor2.version() if release == "own" else f"$CondorVersion: {release} 2025-06-01 BuildID: Debian $"
    if release:
        command = pool.bin / "condor_version"
        command.write_text(f"#!/bin/sh\necho '{text}'\n")
        command.chmod(0o755)
    assert isinstance(open_schedd("auto", PATIENCE), way)
    assert isinstance(open_schedd("python", PATIENCE), BoundSchedd)
    assert ("the pool has 23" in caplog.text) == (way is CommandSchedd)
