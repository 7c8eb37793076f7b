"""The local scheduler with real processes: cores, order, death of jobs and of the dispatcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import Profile, Resources, SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers import make_scheduler
from gwbatch.schedulers.local import LocalScheduler

WHOLE = Resources(cores=0)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[LocalScheduler]:
    made = LocalScheduler(tmp_path / "index", cores=2)
    yield made
    for report in made.find(list(made._entries)).values():
        made.cancel(report.key)
    made.close()


def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: LocalScheduler, command: str) -> None:
    """Have every job run a shell command instead of the runner."""
    monkeypatch.setattr(type(scheduler), "_command", lambda self, request: ["/bin/sh", "-c", command])


def request(tmp_path: Path, key: str, resources: Resources = WHOLE, priority: int = 0) -> JobRequest:
    directory = tmp_path / "jobs" / key
    directory.mkdir(parents=True, exist_ok=True)
    return JobRequest(key, "k", "openmp", directory, resources=resources, priority=priority)


def wait(scheduler: LocalScheduler, key: str, *states: JobState, seconds: float = 20.0) -> JobStatus:
    deadline = time.monotonic() + seconds
    while (report := scheduler.poll([key])[key]).state not in states:
        assert time.monotonic() < deadline, report
        time.sleep(0.01)
    return report


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_job_runs_in_its_directory_with_its_cores(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "secret")
    script(tmp_path, monkeypatch, scheduler, "env; pwd")
    scheduler.submit(request(tmp_path, "a"))
    assert wait(scheduler, "a", JobState.DONE).exit_code == 0
    out = (tmp_path / "jobs/a/stdout").read_text()
    assert "OMP_NUM_THREADS=2" in out
    assert str(tmp_path / "jobs/a") in out
    assert "secret" not in out


def test_whole_node_jobs_run_one_at_a_time_and_the_more_urgent_first(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"echo $PWD >> {tmp_path}/order; sleep 0.05")
    blocker = request(tmp_path, "first")
    scheduler.submit(blocker)
    for key, priority in (("plot", 1), ("map", 9), ("small", 5)):
        scheduler.submit(request(tmp_path, key, Resources(cores=1) if key == "small" else WHOLE, priority))
    assert [report.state for report in scheduler.find(["first", "plot", "map", "small"]).values()] == [
        JobState.RUNNING, JobState.QUEUED, JobState.QUEUED, JobState.QUEUED,
    ]  # fmt: skip
    until(lambda: all(r.state is JobState.DONE for r in scheduler.poll(["first", "plot", "map", "small"]).values()))
    order = [Path(line).name for line in (tmp_path / "order").read_text().split()]
    assert order == ["first", "map", "small", "plot"]


def test_what_is_less_urgent_does_not_go_beside_what_starts_with_it(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"while [ ! -e {tmp_path}/$(basename $PWD).end ]; do sleep 0.01; done")
    keys = ["first", "map", "small"]
    for key, priority in zip(keys, (10, 9, 5), strict=True):
        scheduler.submit(request(tmp_path, key, Resources(cores=1) if key == "small" else WHOLE, priority))
    (tmp_path / "first.end").touch()
    until(lambda: scheduler.poll(keys)["map"].state is JobState.RUNNING)
    assert scheduler.poll(keys)["small"].state is JobState.QUEUED
    (tmp_path / "map.end").touch()
    (tmp_path / "small.end").touch()
    until(lambda: all(report.state is JobState.DONE for report in scheduler.poll(keys).values()))


def test_the_same_key_is_submitted_once(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"echo x >> {tmp_path}/runs")
    assert scheduler.submit(request(tmp_path, "a")) == scheduler.submit(request(tmp_path, "a"))
    wait(scheduler, "a", JobState.DONE)
    assert (tmp_path / "runs").read_text() == "x\n"


@pytest.mark.parametrize(("command", "reason"), [("exit 3", "exit code 3"), ("kill -9 $$", "killed by SIGKILL")])
def test_how_a_job_failed_is_told(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch, command: str, reason: str
) -> None:
    script(tmp_path, monkeypatch, scheduler, command)
    scheduler.submit(request(tmp_path, "a"))
    assert wait(scheduler, "a", JobState.FAILED).reason == reason


def test_a_cancelled_job_is_gone_with_its_children(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"sleep 60 & echo $! > {tmp_path}/child; wait")
    scheduler.submit(request(tmp_path, "a"))
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    scheduler.cancel("a")
    until(lambda: not Path(f"/proc/{(tmp_path / 'child').read_text().strip()}").exists())
    assert scheduler.poll(["a"])["a"].state is JobState.FAILED


def test_an_unknown_job_is_lost_not_done(scheduler: LocalScheduler) -> None:
    assert scheduler.poll(["never"])["never"].state is JobState.LOST
    assert scheduler.find(["never"]) == {}


def test_what_would_run_can_be_shown(tmp_path: Path, scheduler: LocalScheduler) -> None:
    text = scheduler.describe(request(tmp_path, "a"))
    assert "-m gwbatch.jobs.runner" in text
    assert "OMP_NUM_THREADS=2" in text


DISPATCHER = """
import sys, time
from pathlib import Path
from gwbatch.config.profile import Profile, Resources, SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.schedulers import make_scheduler
from gwbatch.schedulers.local import LocalScheduler
root = Path(sys.argv[1])
LocalScheduler._command = lambda self, request: ["/bin/sh", "-c", "echo x >> ../../runs; sleep 1; echo done > finished"]
scheduler = LocalScheduler(root / "index", cores=2)
for key in ("a", "b"):
    (root / "jobs" / key).mkdir(parents=True)
    scheduler.submit(JobRequest(key, "k", "openmp", root / "jobs" / key, resources=Resources(cores=0)))
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    "point", ["", "local.before_ticket", "local.after_ticket", "local.before_start", "local.after_start"]
)
def test_jobs_outlive_the_dispatcher_and_are_found_again(tmp_path: Path, point: str) -> None:
    """The dispatcher is killed with one job running and one waiting, or while it starts one; each job runs once."""
    environment = {**os.environ, "GWBATCH_KILL_AT": point}
    dispatcher = subprocess.Popen(
        [sys.executable, "-c", DISPATCHER, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    )
    assert dispatcher.stdout is not None
    line = dispatcher.stdout.readline()
    assert line == (b"" if point else b"up\n")
    dispatcher.send_signal(signal.SIGKILL)
    dispatcher.wait()
    again = LocalScheduler(tmp_path / "index", cores=2)
    submitted = {"": ["a", "b"], "local.before_ticket": []}.get(point, ["a"])
    assert sorted(again.find(["a", "b"])) == submitted
    if not submitted:  # a submission that was cut short is made again
        again._command = lambda request: ["/bin/sh", "-c", "echo x >> ../../runs"]  # type: ignore[method-assign]
        again.submit(request(tmp_path, "a"))
        submitted = ["a"]
    until(lambda: all(r.state is JobState.DONE for r in again.poll(submitted).values()))
    assert (tmp_path / "runs").read_text() == "x\n" * len(submitted)


def test_a_job_whose_wrapper_is_killed_is_judged_by_its_result(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"echo $PPID > {tmp_path}/wrapper; sleep 0.5; echo '{{}}' > result.json")
    scheduler.submit(request(tmp_path, "a"))
    until(lambda: (tmp_path / "wrapper").exists() and (tmp_path / "wrapper").read_text().strip())
    os.kill(int((tmp_path / "wrapper").read_text()), signal.SIGKILL)
    time.sleep(0.1)
    assert scheduler.poll(["a"])["a"].state is JobState.RUNNING, "its child still works"
    assert wait(scheduler, "a", JobState.DONE, JobState.FAILED).state is JobState.DONE
    assert json.loads((tmp_path / "jobs/a/result.json").read_text()) == {}


def test_a_cancelled_job_frees_its_cores(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"[ $(basename $PWD) = b ] || sleep 60; touch {tmp_path}/$(basename $PWD)")
    scheduler.submit(request(tmp_path, "a"))
    scheduler.cancel("a")  # at once, before the job has reported its pid
    scheduler.submit(request(tmp_path, "b"))
    wait(scheduler, "b", JobState.DONE)
    assert scheduler.poll(["a"])["a"].state is JobState.FAILED
    assert not (tmp_path / "a").exists()


def test_a_waiting_job_can_be_cancelled(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, f"touch {tmp_path}/$(basename $PWD); sleep 0.3")
    scheduler.submit(request(tmp_path, "a"))
    scheduler.submit(request(tmp_path, "b"))
    scheduler.cancel("b")
    wait(scheduler, "a", JobState.DONE)
    assert scheduler.poll(["b"])["b"].state is JobState.FAILED
    assert not (tmp_path / "b").exists()


def test_a_job_whose_folder_is_gone_fails_alone(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path, monkeypatch, scheduler, "sleep 0.2")
    for key in ("first", "gone", "last"):
        scheduler.submit(request(tmp_path, key))
    (tmp_path / "jobs/gone").rmdir()
    until(lambda: scheduler.poll(["first", "gone", "last"])["last"].state is JobState.DONE)
    assert "its folder or program is missing" in scheduler.poll(["gone"])["gone"].reason


def test_a_ticket_for_more_cores_than_there_are_now_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalScheduler, "_command", lambda self, request: ["/bin/sleep", "0.3"])
    large = LocalScheduler(tmp_path / "index", cores=8)
    large.submit(request(tmp_path, "first"))
    large.submit(request(tmp_path, "second"))
    small = LocalScheduler(tmp_path / "index", cores=2)
    until(lambda: small.poll(["first", "second"])["second"].state is JobState.DONE)


@pytest.mark.parametrize(("result", "state"), [(True, JobState.DONE), (False, JobState.FAILED)])
def test_a_job_that_ended_with_the_machine_is_not_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: bool, state: JobState
) -> None:
    """Its result.json tells the outcome. Without one it has failed, and the caller decides on another attempt."""
    first = LocalScheduler(tmp_path / "index", cores=2)
    script(
        tmp_path,
        monkeypatch,
        first,
        f"echo x >> {tmp_path}/runs; {'echo {} > result.json;' * result} touch ready; sleep 60",
    )
    first.submit(request(tmp_path, "a"))
    until(lambda: (tmp_path / "jobs/a/ready").exists())
    process = first._entries["a"].process
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = LocalScheduler(tmp_path / "index", cores=2)
    assert wait(again, "a", JobState.DONE, JobState.FAILED).state is state
    assert (tmp_path / "runs").read_text() == "x\n"


def test_jobs_get_the_environment_that_the_profile_says(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ONE", "forwarded")
    monkeypatch.setenv("OTHER", "kept back")
    settings = SchedulerSettings(forward=["FORWARDED_ONE"], environment={"CHOSEN": "chosen", "MPLBACKEND": "svg"})
    made = make_scheduler(Profile(scheduler=settings), tmp_path)
    script(tmp_path, monkeypatch, made, "env")  # type: ignore[arg-type]
    made.submit(request(tmp_path, "a"))
    wait(made, "a", JobState.DONE)  # type: ignore[arg-type]
    out = (tmp_path / "jobs/a/stdout").read_text()
    assert {"FORWARDED_ONE=forwarded", "CHOSEN=chosen", "MPLBACKEND=svg"} <= set(out.splitlines())
    assert "OTHER" not in out
    assert "CHOSEN=chosen" in made.describe(request(tmp_path, "b"))
    made.close()


def test_a_credential_is_never_sent_to_a_local_job_either(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="looks like a credential"):
        make_scheduler(Profile(scheduler=SchedulerSettings(environment={"MY_TOKEN": "x"})), tmp_path)


def test_an_urgent_small_job_goes_beside_a_whole_node_job_and_others_wait(
    tmp_path: Path, scheduler: LocalScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst's map takes a second, so it must not wait a minute behind a localization."""
    script(tmp_path, monkeypatch, scheduler, f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    scheduler.submit(request(tmp_path, "localization", priority=1100))
    for key, priority in (("plot", 30), ("second-map", 1250), ("map", 1300)):
        scheduler.submit(request(tmp_path, key, Resources(cores=1), priority))
    states = {key: scheduler.poll([key])[key].state for key in ("localization", "plot", "second-map", "map")}
    assert states == {
        "localization": JobState.RUNNING, "plot": JobState.QUEUED, "second-map": JobState.RUNNING,
        "map": JobState.QUEUED,
    }  # fmt: skip
    (tmp_path / "go").touch()
    for key in states:
        wait(scheduler, key, JobState.DONE)
