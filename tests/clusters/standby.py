"""Tests of pilots for every real scheduler."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import psutil
import pytest

from gwbatch.config.policy import load_policy
from gwbatch.dispatcher.standby import pilot_request
from gwbatch.jobs.result import read_result
from gwbatch.jobs.standby.layout import Beat
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers.standby import Crew, StandbyScheduler
from tests.clusters.bench import ROOT, SchedulerBench
from tests.clusters.waiting import until

STANDBY = ['standby.openmp.kinds=["nap", "parallel"]', "standby.openmp.orphaned_after=600"]
# For a cluster of one node: each pilot takes one core, which leaves room for other jobs.
SMALL = ['standby.general.kinds=["small-nap", "small-parallel"]', "standby.general.orphaned_after=600"]


# For random kills: only localizations, which take a while, and other whole-node jobs run on the nodes.
KILLS = [
    f'scheduler.environment.PYTHONPATH="{ROOT}"', 'scheduler.environment.GWBATCH_TEST_SECONDS="3"',
    "scheduler.ask_every=3", 'queues.general.run_on="local"',
    'standby.openmp.kinds=["localize", "combine-skymaps", "plot-volume"]', "standby.openmp.orphaned_after=20",
    "standby.openmp.make_room_after=5",
]  # fmt: skip


class StandbyBench(SchedulerBench):
    """A bench with pilots that take the jobs.

    Attributes
    ----------
    ends_gently : bool
        Whether the batch system lets a cancelled job end by itself.
    nodes : int
        Pilots that leave no room for a whole-node job.
    gives_way : dict
        Settings of pilots that other work may preempt.
    all_cores : dict
        Settings of a pilot that has all cores of a node.
    """

    ends_gently = True
    nodes = 1
    gives_way: ClassVar[dict[str, Any]] = {}
    all_cores: ClassVar[dict[str, Any]] = {"cores": os.cpu_count()}

    def nap(self, seconds: float = 0.0, kind: str = "", priority: int = 0) -> JobRequest:
        return super().nap(seconds, kind or min(self.crew.kinds), priority)

    def submit(self, seconds: float = 0.0, kind: str = "", priority: int = 0) -> JobRequest:
        return super().submit(seconds, kind, priority)

    @property
    def standby(self) -> StandbyScheduler:
        assert isinstance(self.scheduler, StandbyScheduler)
        return self.scheduler

    @property
    def crew(self) -> Crew:
        (crew,) = self.standby.crews.values()
        return crew

    def pilot(self, number: int = 1, seconds: float = 120.0) -> Beat:
        """Submit a pilot, and return its heartbeat once it is ready."""
        key = f"standby/{self.crew.queue}/{number}"
        directory = self.folder / "pilots" / str(number)
        settings = self.profile.standby[self.crew.queue]
        self.crew.pilots.submit(pilot_request(self.crew, settings, key, directory, self.profile, load_policy()))
        return self.ready(key, seconds)

    def pilots_on_all_nodes(self) -> list[Beat]:
        """Submit pilots that other work may preempt, until there is no whole node left."""
        queue = self.crew.queue
        self.profile.standby[queue] = msgspec.structs.replace(self.profile.standby[queue], batch=self.gives_way)
        return [self.pilot(number) for number in range(1, self.nodes + 1)]

    def ready(self, key: str, seconds: float = 120.0, after: float = 0.0) -> Beat:
        """Wait until the pilot of this job is ready, later than `after` (Unix s), and return its heartbeat."""
        found: list[Beat] = []

        def there() -> bool:
            report = self.pilot_report(key)
            assert not report.state.final, self.words(report)
            found[:] = [beat for beat in self.crew.folder.look() if beat.job == key and beat.ready > after]
            return bool(found)

        until(there, seconds, lambda: self.words(self.pilot_report(key)))
        return found[-1]

    def pilot_report(self, key: str) -> JobStatus:
        return self.standby.poll_pilots([key]).get(key) or JobStatus(key, JobState.UNKNOWN)

    def words(self, report: JobStatus) -> str:
        said = [file.read_text() for file in (self.folder / "pilots").glob("*/std*") if file.is_file()]
        return "\n".join([str(report), *said])

    def is_warm(self, request: JobRequest) -> bool:
        return self.report(request).native_id.startswith("standby ")

    def claims(self) -> list[str]:
        return [task.key for _, _, task in self.crew.folder.claims()]

    def end_pilots(self) -> None:
        """Kill the remaining pilots, because a busy one would take a while to leave."""
        for beat in self.crew.folder.look():
            with contextlib.suppress(ProcessLookupError):
                os.kill(beat.pid, signal.SIGKILL)
        for job in {beat.job for beat in self.crew.folder.look()}:
            if self.pilot_report(job).state is JobState.QUEUED:  # it was evicted, and would start again
                self.crew.pilots.cancel(job)
            until(lambda job=job: self.pilot_report(job).state.final, 60)  # type: ignore[misc]

    def leave(self, *keys: str) -> None:
        """Order pilots to leave, and wait until they have."""
        self.crew.folder.order(list(keys))
        for key in keys:
            until(lambda key=key: self.pilot_report(key).state.final, 90)


def child_of(pilot: Beat) -> psutil.Process:
    """Wait for the process that runs a pilot's task, and return it."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [one for one in psutil.Process(pilot.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        return bool(found)

    until(there, 30)
    return found[0]


def is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two calls
        return True


class StandbyPlays:
    """Tests of pilots on any batch system; the fixture ``stage`` is a `StandbyBench`."""

    def test_a_job_of_a_pilot_is_a_job_like_any_other(self, stage: StandbyBench) -> None:
        cold = stage.submit()
        stage.until(cold, JobState.DONE, seconds=120)
        pilot = stage.pilot()
        warm = stage.submit()
        assert stage.is_warm(warm)
        report = stage.until(warm, JobState.DONE)
        assert report.host == (stage.pilot_report(pilot.job).host or pilot.host)
        assert not stage.is_warm(cold)
        cold_files, warm_files = (
            {
                one.name
                for one in request.directory.iterdir()
                if one.is_file() and not one.name.startswith(("_condor", "."))
            }
            - {"started.json"}  # with HTCondor, only a pilot returns this file
            for request in (cold, warm)
        )
        assert cold_files == warm_files
        told = [json.loads((request.directory / "result.json").read_text()) for request in (cold, warm)]
        assert list(told[0]) == list(told[1])
        for name in ("kind", "error", "versions", "outputs", "omp_num_threads"):
            assert told[0][name] == told[1][name]
        assert told[1]["facts"]["threads"] == told[0]["facts"]["threads"]

    def test_each_task_is_claimed_once_by_two_pilots(self, stage: StandbyBench) -> None:
        pilots = [stage.pilot(number) for number in (1, 2)]
        requests = [stage.submit() for _ in range(20)]
        warm = [request for request in requests if stage.is_warm(request)]
        for request in warm:
            stage.until(request, JobState.DONE)
        assert sorted(stage.claims()) == sorted(request.key for request in warm)
        assert len(warm) >= 2
        time.sleep(1.5)
        assert sum(beat.done for beat in stage.crew.folder.look()) == len(warm)
        assert {beat.pilot for beat in stage.crew.folder.look()} == {pilot.pilot for pilot in pilots}
        for request in requests:
            stage.scheduler.cancel(request.key)

    def test_a_child_uses_all_cores_with_gnu_openmp(self, stage: StandbyBench) -> None:
        """The pilot has only loaded the library; each of its children opens a parallel region."""
        settings = msgspec.structs.replace(stage.profile.standby[stage.crew.queue], batch=stage.all_cores)
        stage.profile.standby[stage.crew.queue] = settings
        stage.pilot()
        for _ in range(2):
            request = stage.submit(kind=max(stage.crew.kinds))
            assert stage.is_warm(request)
            stage.until(request, JobState.DONE)
            assert stage.facts(request)["threads"] >= 2

    def test_a_child_that_is_killed_is_a_failed_attempt(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        request = stage.submit(60)
        child_of(pilot).kill()
        report = stage.until(request, JobState.FAILED)
        assert "killed by SIGKILL" in report.reason
        assert report.retryable
        again = stage.submit()
        assert stage.is_warm(again)  # the pilot goes on
        stage.until(again, JobState.DONE)

    def test_a_pilot_that_hangs_delays_a_job_by_the_hedge_only(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        os.kill(pilot.pid, signal.SIGSTOP)
        began = time.monotonic()
        request = stage.submit()
        assert not stage.is_warm(request)
        assert time.monotonic() - began >= stage.crew.hedge
        assert not list((stage.crew.folder.path / "inbox").iterdir())
        os.kill(pilot.pid, signal.SIGCONT)
        stage.scheduler.cancel(request.key)

    def test_what_a_silent_pilot_delivers_late_does_not_count(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        request = stage.submit(600)
        child = child_of(pilot)
        for pid in (child.pid, pilot.pid):
            os.kill(pid, signal.SIGSTOP)
        report = stage.until(request, JobState.FAILED, seconds=90)
        assert "silent" in report.reason
        for pid in (child.pid, pilot.pid):
            os.kill(pid, signal.SIGCONT)
        until(lambda: is_over(child), 30)  # its result was not wanted any more
        assert not (request.directory / "result.json").exists()
        assert stage.report(request).state is JobState.FAILED
        after = stage.submit()
        assert stage.is_warm(after)
        stage.until(after, JobState.DONE)

    def test_a_pilot_that_is_killed_loses_its_task(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        request = stage.submit(600)
        child = child_of(pilot)
        os.kill(pilot.pid, signal.SIGKILL)
        report = stage.until(request, JobState.FAILED, seconds=90)
        assert "pilot" in report.reason
        until(lambda: is_over(child), 30)

    def test_a_dispatcher_that_starts_again_finds_what_it_had(self, stage: StandbyBench) -> None:
        stage.pilot()
        request = stage.submit(4)
        stage.again()
        assert stage.scheduler.find([request.key])[request.key].native_id.startswith("standby ")
        stage.until(request, JobState.DONE)
        stage.again()
        assert stage.scheduler.find([request.key])[request.key].state is JobState.DONE
        assert stage.claims() == [request.key]

    def test_a_task_that_nobody_took_is_withdrawn_by_the_next_dispatcher(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        os.kill(pilot.pid, signal.SIGSTOP)
        request = stage.nap()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage.crew.folder, "withdraw", _killed)
            with pytest.raises(InterruptedError):
                stage.scheduler.submit(request)
        assert len(list((stage.crew.folder.path / "inbox").iterdir())) == 1
        stage.again()
        os.kill(pilot.pid, signal.SIGCONT)
        assert stage.scheduler.find([request.key]) == {}
        assert not list((stage.crew.folder.path / "inbox").iterdir())

    def test_a_cancelled_task_ends_and_the_pilot_goes_on(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        request = stage.submit(600)
        child = child_of(pilot)
        stage.scheduler.cancel(request.key)
        until(lambda: is_over(child), 30)
        assert stage.report(request).state is JobState.FAILED
        until(lambda: any(beat.room for beat in stage.crew.folder.look()), 30)
        after = stage.submit()
        assert stage.is_warm(after)
        stage.until(after, JobState.DONE)

    def test_an_idle_pilot_leaves_when_it_is_told(self, stage: StandbyBench) -> None:
        pilot = stage.pilot()
        stage.leave(pilot.job)
        told = json.loads((stage.folder / "pilots" / "1" / "pilot.json").read_text())
        assert told["left_because"] == "no longer needed"
        assert not stage.is_warm(stage.submit())

    def test_a_pilot_that_must_go_is_never_silent(self, stage: StandbyBench) -> None:
        """It delivers the task that it has begun, or says why not, and gets no further task."""
        pilot = stage.pilot()
        request = stage.submit(4)
        child_of(pilot)
        stage.crew.pilots.cancel(pilot.job) if stage.ends_gently else os.kill(pilot.pid, signal.SIGTERM)
        report = stage.until(request, JobState.DONE, JobState.FAILED)
        result = read_result(request.directory, request.key)
        assert result is not None, report
        assert result["error"] is None or "asked the job to end" in result["error"]["message"]
        until(lambda: stage.pilot_report(pilot.job).state.final, 90)
        assert not stage.is_warm(stage.submit())

    def test_a_pilot_whose_lifetime_ends_during_a_task_finishes_it(self, stage: StandbyBench) -> None:
        brief = msgspec.structs.replace(stage.profile.standby[stage.crew.queue], lifetime=4.0, lead=1.0)
        stage.profile.standby[stage.crew.queue] = brief
        pilot = stage.pilot()
        request = stage.submit(6)
        assert stage.is_warm(request)
        stage.until(request, JobState.DONE)
        until(lambda: stage.pilot_report(pilot.job).state.final, 60)
        told = json.loads((stage.folder / "pilots" / "1" / "pilot.json").read_text())
        assert (told["left_because"], told["tasks"]) == ("lifetime reached", 1)

    def test_a_pilot_without_a_dispatcher_leaves(self, stage: StandbyBench) -> None:
        quick = msgspec.structs.replace(stage.profile.standby[stage.crew.queue], orphaned_after=4.0)
        stage.profile.standby[stage.crew.queue] = quick
        pilot = stage.pilot()
        until(lambda: stage.pilot_report(pilot.job).state.final, 90)
        told = json.loads((stage.folder / "pilots" / "1" / "pilot.json").read_text())
        assert told["left_because"] == "no heartbeat from the dispatcher"

    def test_an_idle_inbox_leaves_all_folders_in_place(self, stage: StandbyBench) -> None:
        stage.pilot()
        time.sleep(10)
        assert {one.name for one in stage.crew.folder.path.iterdir()} == {
            "inbox", "taken", "revoked", "pilots", *({"orders.json"} & _names(stage.crew.folder.path)),
        }  # fmt: skip


class BatchStandbyPlays(StandbyPlays):
    """Further tests of pilots on a batch system, which can preempt them and which counts for itself.

    The fixture ``held_for`` returns the seconds for which a job has held its node, as the batch system counts them.
    """

    def test_the_time_that_a_pilot_held_its_node_is_that_of_the_batch_system(
        self, stage: StandbyBench, held_for: Callable[[str], float]
    ) -> None:
        pilot = stage.pilot()
        stage.until(stage.submit(3), JobState.DONE)
        stage.crew.folder.order([pilot.job])
        ended: list[tuple[float, JobStatus]] = []

        def over() -> bool:
            ended.append((time.time(), stage.pilot_report(pilot.job)))
            return ended[-1][1].state.final

        until(over, 90)
        noticed, report = ended[-1]
        assert report.started is not None
        assert (report.finished or noticed) - report.started == pytest.approx(held_for(report.native_id), abs=2.0)

    def test_an_idle_pilot_gives_way_to_other_work(self, stage: StandbyBench) -> None:
        pilots = stage.pilots_on_all_nodes()
        began = time.monotonic()
        other = stage.submit(kind="stubborn-nap")
        assert not stage.is_warm(other)
        stage.until(other, JobState.DONE, seconds=30)
        print(f"the whole-node job was done {time.monotonic() - began:.1f} s after it was submitted")

        def at_work() -> set[str]:
            folder = stage.crew.folder
            return {beat.pilot for beat in folder.look() if (folder.silence(beat.pilot) or 0.0) <= 2.0}

        until(lambda: {pilot.pilot for pilot in pilots} - at_work(), 30)


def _names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def _killed(name: str) -> bool:
    raise InterruptedError(name)
