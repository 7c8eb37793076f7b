"""The Slurm scheduler on commands that hang, lie, return nothing or fail, called directly and through pyslurm.

The tests on a real cluster are in ``tests/clusters``.  The double of pyslurm calls the same fake commands.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gwbatch.config.profile import Resources, SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.jobs.result import write_json
from gwbatch.model import JobRequest, JobState, JobStatus, Remedy
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.slurm import pyslurm
from gwbatch.schedulers.slurm.controller import CommandController, Controller, open_controller
from gwbatch.schedulers.slurm.pyslurm import PyslurmController
from gwbatch.schedulers.slurm.scheduler import SlurmScheduler
from tests.fakes.slurm import FakeSlurm

KEY = "G1/localize/1"
PATIENCE = 2.0
DOUBLE = Path(__file__).parents[1] / "fakes" / "pyslurm_double"

Make = Callable[..., SlurmScheduler]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "cluster").install()
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    return fake


@pytest.fixture(params=["cli", "pyslurm"])
def bindings(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(tmp_path: Path, cluster: FakeSlurm, bindings: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    if bindings == "pyslurm":
        monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv("SQUEUE_PARTITION", "nowhere")  # would restrict what squeue lists
    made: list[SlurmScheduler] = []

    def build(ask: float = 0.05, late: float = 0.3) -> SlurmScheduler:
        settings = SchedulerSettings(kind="slurm", ask_every=ask, ask_soonest=ask, result_late=late)
        controller = opened(bindings)
        assert isinstance(controller, PyslurmController if bindings == "pyslurm" else CommandController)
        made.append(SlurmScheduler(tmp_path / "slurm", settings, controller))
        return made[-1]

    yield build
    for scheduler in made:
        scheduler.close()


def request_for(tmp_path: Path, key: str = KEY) -> JobRequest:
    directory = tmp_path / key.replace("/", "-")
    directory.mkdir(exist_ok=True)
    return JobRequest(key, "localize", "openmp", directory, ("job.json",), ("map.fits",), Resources(cores=0))


def settle(scheduler: SlurmScheduler, wanted: JobState, key: str = KEY, seconds: float = 25.0) -> JobStatus:
    end = time.monotonic() + seconds
    while (report := scheduler.poll([key])[key]).state is not wanted:
        assert time.monotonic() < end, report
        time.sleep(0.02)
    return report


def opened(bindings: str) -> Controller:
    """Open a controller, with retries because its helper may start too slowly beside other tests."""
    for _ in range(4):
        try:
            return open_controller(bindings, PATIENCE)
        except ConfigError as error:
            if not isinstance(error.__cause__, SchedulerBusy):
                raise
    return open_controller(bindings, PATIENCE)


def asked(scheduler: SlurmScheduler) -> Mapping[str, JobStatus]:
    """Return what the scheduler finds once Slurm answers again."""
    end = time.monotonic() + 4 * PATIENCE
    while True:
        try:
            return scheduler.find([KEY])
        except SchedulerBusy:
            assert time.monotonic() < end
            time.sleep(0.1)


def poll_for(scheduler: SlurmScheduler, seconds: float) -> set[JobState]:
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.add(scheduler.poll([KEY])[KEY].state)
        time.sleep(0.02)
    return seen


def test_a_job_is_followed_from_the_queue_to_its_end(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    assert settle(scheduler, JobState.QUEUED).native_id == job
    cluster.set(job, "RUNNING", nodes="n7")
    running = settle(scheduler, JobState.RUNNING)
    assert (running.host, running.cores) == ("n7", 8)
    cluster.set(job, "COMPLETED")
    settle(scheduler, JobState.DONE)


def test_why_a_job_waits_is_told(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    cluster.set(job, "PENDING", "QOSMaxJobsPerUserLimit", nodes="")
    end = time.monotonic() + 10
    while scheduler.poll([KEY])[KEY].reason != "QOSMaxJobsPerUserLimit":
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_jobs_own_files_say_it_sooner(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make(ask=60.0)
    request = request_for(tmp_path)
    cluster.set(scheduler.submit(request), "RUNNING", nodes="n3")
    write_json(request.directory / "started.json", {"key": KEY, "started": 5.0, "host": "n3"})
    settle(scheduler, JobState.RUNNING)
    until = time.monotonic() + 5
    while scheduler.poll([KEY])[KEY].started != 5.0:
        assert time.monotonic() < until
        time.sleep(0.02)
    asked = cluster.calls("squeue")
    write_json(request.directory / "result.json", {"key": KEY, "error": None, "outputs": {}, "started": 5.0})
    settle(scheduler, JobState.DONE)
    assert cluster.calls("squeue") - asked <= 1


@pytest.mark.parametrize("text", ['{"key": "G1/localize/0", "started": 5.0}', "{", "[]", '"odd"'])
def test_files_of_another_attempt_or_damaged_ones_say_nothing(text: str, make: Make, tmp_path: Path) -> None:
    scheduler = make()
    request = request_for(tmp_path)
    scheduler.submit(request)
    (request.directory / "started.json").write_text(text)
    (request.directory / "result.json").write_text(text)
    assert poll_for(scheduler, 0.8) == {JobState.QUEUED}


@pytest.mark.parametrize("mode", ["lose", "hang", "fail", "empty", "garbage"])
def test_a_submission_without_an_answer_may_have_happened(
    mode: str, make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make()
    cluster.behave(sbatch=mode)
    with pytest.raises(SchedulerBusy):
        scheduler.submit(request_for(tmp_path))
    cluster.behave()
    found = asked(scheduler)
    assert set(found) == ({KEY} if mode == "lose" else set())
    assert len(cluster.jobs) == (1 if mode == "lose" else 0)


def test_a_submission_that_is_refused_is_refused_for_good(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    cluster.behave(sbatch="refuse")
    with pytest.raises(SchedulerError, match="Invalid account") as raised:
        scheduler.submit(request_for(tmp_path))
    assert not raised.value.transient


@pytest.mark.parametrize("mode", ["hang", "fail", "empty", "garbage"])
def test_silence_is_not_an_end(mode: str, make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    cluster.set(job, "RUNNING")
    settle(scheduler, JobState.RUNNING)
    cluster.behave(squeue=mode, scontrol=mode)
    assert poll_for(scheduler, 2.5) == {JobState.RUNNING}
    cluster.behave()
    cluster.set(job, "COMPLETED")
    settle(scheduler, JobState.DONE)


@pytest.mark.parametrize("mode", ["hang", "fail", "empty", "garbage"])
def test_whoever_cannot_be_asked_has_not_said_no(mode: str, make: Make, cluster: FakeSlurm) -> None:
    scheduler = make()
    cluster.behave(squeue=mode, scontrol=mode)
    with pytest.raises(SchedulerBusy):
        scheduler.find([KEY])


def test_a_job_that_slurm_forgot_is_lost_only_when_that_was_said_more_than_once(
    make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    settle(scheduler, JobState.QUEUED)
    asked = cluster.calls("scontrol")
    cluster.forget(job)
    assert "no longer knows the job" in settle(scheduler, JobState.LOST).reason
    assert cluster.calls("scontrol") - asked >= 2


def test_a_job_that_only_the_accounting_remembers_is_not_lost(tmp_path: Path, make: Make, cluster: FakeSlurm) -> None:
    cluster.install(accounting=True)
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    settle(scheduler, JobState.QUEUED)
    cluster.set(job, "FAILED", exit_code="3:0")
    cluster.forget(job, accounted=True)
    assert settle(scheduler, JobState.FAILED).reason == "exit code 3"


def test_a_forgotten_job_whose_result_is_there_ended_well(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    request = request_for(tmp_path)
    job = scheduler.submit(request)
    settle(scheduler, JobState.QUEUED)
    write_json(request.directory / "result.json", {"key": KEY, "error": None, "outputs": {}})
    cluster.forget(job)
    settle(scheduler, JobState.DONE)


def test_a_number_that_belongs_to_another_job_now_says_nothing(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    settle(scheduler, JobState.QUEUED)
    with cluster.cluster() as state:
        state["jobs"][job].update(comment="somebody_else", state="COMPLETED")
    settle(scheduler, JobState.LOST)


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("NODE_FAIL", "NodeDown", "its node failed"), ("PREEMPTED", "None", "preempted"),
        ("TIMEOUT", "TimeLimit", "time limit"), ("OUT_OF_MEMORY", "OutOfMemory", "ran out of memory"),
        ("CANCELLED", "None", "cancelled"), ("BOOT_FAIL", "None", "booted"),
    ],
)  # fmt: skip
def test_every_end_has_its_reason(
    state: str, reason: str, told: str, make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    cluster.set(job, state, reason)
    assert told in settle(scheduler, JobState.FAILED).reason


def test_requeued_jobs_wait_again_whatever_the_files_of_before_say(
    make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make()
    request = request_for(tmp_path)
    job = scheduler.submit(request)
    cluster.set(job, "RUNNING")
    write_json(request.directory / "started.json", {"key": KEY, "started": time.time(), "host": "n3"})
    settle(scheduler, JobState.RUNNING)
    cluster.set(job, "PENDING", "BeginTime", nodes="")
    assert settle(scheduler, JobState.QUEUED).reason == "BeginTime"
    assert poll_for(scheduler, 1.0) == {JobState.QUEUED}
    write_json(request.directory / "started.json", {"key": KEY, "started": time.time(), "host": "n4"})
    cluster.set(job, "RUNNING", nodes="n4")
    settle(scheduler, JobState.RUNNING)


def test_a_result_that_a_file_system_shows_late_is_waited_for(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make(late=30.0)
    request = request_for(tmp_path)
    job = scheduler.submit(request)
    cluster.set(job, "RUNNING")
    settle(scheduler, JobState.RUNNING)
    cluster.set(job, "COMPLETED")
    assert poll_for(scheduler, 1.5) == {JobState.RUNNING}
    assert "waiting for its result" in scheduler.poll([KEY])[KEY].reason
    write_json(request.directory / "result.json", {"key": KEY, "error": None, "outputs": {}})
    settle(scheduler, JobState.DONE, seconds=5)


def test_what_is_left_over_of_an_attempt_that_is_over_is_cancelled(
    make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make()
    request = request_for(tmp_path)
    job = scheduler.submit(request)
    error = {"message": "the batch system asked the job to end", "retryable": True}
    write_json(request.directory / "result.json", {"key": KEY, "error": error, "outputs": {}})
    settle(scheduler, JobState.FAILED)  # but Slurm still has it in the queue
    end = time.monotonic() + 10
    while cluster.jobs[job]["state"] != "CANCELLED":
        assert time.monotonic() < end
        scheduler.poll([KEY])
        time.sleep(0.05)


def test_what_the_accounting_calls_running_is_left_over_from_a_crash(
    make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    cluster.install(accounting=True)
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    cluster.set(job, "RUNNING")
    settle(scheduler, JobState.RUNNING)
    cluster.forget(job, accounted=True)
    settle(scheduler, JobState.LOST)


def test_held_released_and_cancelled(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    job = scheduler.submit(request_for(tmp_path))
    cluster.set(job, "PENDING", "JobHoldMaxRequeue", nodes="")
    assert settle(scheduler, JobState.HELD).remedy is Remedy.RELEASE
    scheduler.release(KEY)
    settle(scheduler, JobState.QUEUED)
    scheduler.cancel(KEY)
    settle(scheduler, JobState.FAILED)
    cluster.forget(job)
    scheduler.cancel(KEY)  # no error for a job that has ended


def test_of_two_jobs_with_one_key_the_older_stays(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    scheduler = make()
    first = scheduler.submit(request_for(tmp_path))
    CommandController(PATIENCE).submit(
        scheduler.describe(request_for(tmp_path)), {"PATH": f"{cluster.bin}:/usr/bin:/bin"}
    )
    end = time.monotonic() + 10
    while cluster.jobs["2"]["state"] != "CANCELLED":
        assert time.monotonic() < end
        scheduler.poll([KEY])
        time.sleep(0.05)
    assert cluster.jobs[first]["state"] == "PENDING"


def test_a_dispatcher_that_starts_again_knows_its_jobs(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    first = make()
    job = first.submit(request_for(tmp_path))
    cluster.set(job, "RUNNING")
    settle(first, JobState.RUNNING)
    first.close()
    again = make()
    cluster.behave(squeue="hang", scontrol="hang")
    assert again.poll([KEY])[KEY].state is JobState.RUNNING
    cluster.behave()
    for damage in ("{", "[]", '{"tracks": [{"odd": 1}]}'):
        (tmp_path / "slurm" / "jobs.json").write_text(damage)
        assert make().find([KEY])[KEY].state is JobState.RUNNING


def test_what_an_earlier_version_knew_is_taken_over(make: Make, cluster: FakeSlurm, tmp_path: Path) -> None:
    make().submit(request_for(tmp_path))
    memory = tmp_path / "slurm" / "jobs.json"
    (known,) = json.loads(memory.read_text())["tracks"]
    added = ("finished", "sudden", "event_time")  # since version 1
    first = {name: value for name, value in known.items() if name not in added}
    memory.write_text(json.dumps({"version": 1, "tracks": [{**first, "host": "n7", "state": "RUNNING"}]}))
    assert make(ask=60.0).find([KEY])[KEY].host == "n7"


@pytest.mark.parametrize("bindings", ["cli"], indirect=True)
def test_no_more_than_one_question_in_an_interval_for_a_thousand_jobs(
    make: Make, cluster: FakeSlurm, tmp_path: Path
) -> None:
    scheduler = make(ask=1.0)
    keys = [f"G{number}/localize/1" for number in range(1000)]
    with cluster.cluster() as state:
        prefix = scheduler._prefix
        state["jobs"] = {
            str(number): {"state": "PENDING", "reason": "Priority", "nodes": "", "comment": prefix + key, "exit": "0:0"}
            for number, key in enumerate(keys, 1)
        }
    began = time.monotonic()
    while not all(report.state is JobState.QUEUED for report in scheduler.poll(keys).values()):
        assert time.monotonic() - began < 30
        time.sleep(0.02)
    while time.monotonic() - began < 4:
        scheduler.poll(keys)
        time.sleep(0.02)
    assert 1 <= cluster.calls("squeue") <= (time.monotonic() - began) / 1.0 + 1
    assert cluster.calls("scontrol") == 0


def test_the_environment_of_a_job_is_what_the_profile_says(
    make: Make, cluster: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "secret")
    make().submit(request_for(tmp_path))
    with cluster.cluster() as state:
        assert "secret" not in json.dumps(state["environment"])


def test_a_pyslurm_of_another_release_is_not_used(cluster: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv("PYSLURM_DOUBLE_VERSION", "25.11.2")
    assert isinstance(open_controller("auto", PATIENCE), CommandController)
    with pytest.raises(ConfigError, match=r"pyslurm 25\.11 does not match Slurm 22\.5"):
        open_controller("pyslurm", PATIENCE)


def test_pyslurm_may_take_longer_to_start_than_slurmctld_to_answer(
    cluster: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv("PYSLURM_DOUBLE_LOADS", "2.5")
    controller = open_controller("pyslurm", 1.0)
    assert isinstance(controller, PyslurmController)
    assert controller.jobs() == []
    controller._end()
    with pytest.raises(SchedulerBusy, match="still starting"):
        controller.jobs()
    starting = controller._helper
    end = time.monotonic() + 25
    while True:
        try:
            assert controller.jobs() == []
            break
        except SchedulerBusy:
            assert time.monotonic() < end
    assert controller._helper is starting  # the calls waited for it instead of starting a new one


def test_a_pyslurm_that_never_starts_is_given_up(cluster: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.setenv("PYSLURM_DOUBLE_LOADS", "600")
    monkeypatch.setattr(pyslurm, "STARTING", 0.5)
    assert isinstance(open_controller("auto", PATIENCE), CommandController)
    with pytest.raises(ConfigError, match=r"pyslurm cannot be used \(pyslurm did not start\.\)"):
        open_controller("pyslurm", PATIENCE)


def test_without_pyslurm_the_commands_are_used(cluster: FakeSlurm) -> None:
    assert isinstance(open_controller("auto", PATIENCE), CommandController)
    with pytest.raises(ConfigError, match="No module named 'pyslurm'"):
        open_controller("pyslurm", PATIENCE)


def test_without_slurm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="sbatch, squeue, scontrol, scancel not on PATH"):
        open_controller("auto", PATIENCE)
