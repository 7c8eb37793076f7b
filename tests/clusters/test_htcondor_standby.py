"""Pilots on a real HTCondor pool, which fetch their tasks and deliver the results by chirp."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from gwbatch.config.profile import load_site
from gwbatch.model import JobState
from tests.acceptance.standby_kills import run_kills
from tests.clusters.bench import PLUGIN
from tests.clusters.pool import Pool
from tests.clusters.standby import KILLS, SMALL, BatchStandbyPlays, StandbyBench, child_of, is_over
from tests.clusters.waiting import until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = ["scheduler.ask_every=3", "queues.general.memory_mb=200"]


class HTCondorStandby(StandbyBench):
    """A bench on a pool of one node."""

    gives_way: ClassVar[dict[str, Any]] = {"cores": os.cpu_count(), "attributes": {"GivesWay": True}}


@pytest.fixture
def stage(tmp_path: Path, pool: Pool) -> Iterator[StandbyBench]:
    made = HTCondorStandby(tmp_path, load_site("htcondor-generic", [*PLUGIN, *QUICK, *SMALL]).profile)
    yield made
    made.end_pilots()
    made.scheduler.close()
    pool.clear()


@pytest.fixture
def held_for(pool: Pool) -> Callable[[str], float]:
    return lambda job: float(pool.command("condor_history", job, "-af", "RemoteWallClockTime"))


class TestOnHTCondor(BatchStandbyPlays):
    """Tests of pilots that are jobs of the pool."""

    def test_a_schedd_that_is_killed_costs_no_second_run(self, stage: StandbyBench, pool: Pool) -> None:
        pilot = stage.pilot()
        request = stage.submit(3)
        child_of(pilot)
        pool.kill(pool.daemon("schedd"))
        report = stage.until(request, JobState.DONE, seconds=120)
        assert report.native_id == f"standby {pilot.pilot}"
        assert stage.claims() == [request.key]
        assert pool.keys().count(request.key) == 0  # it was never a job of its own in the pool

    def test_the_task_of_a_pilot_that_other_work_evicts_is_free_at_once(self, stage: StandbyBench) -> None:
        """Where slots are divided on request, HTCondor kills the jobs that it preempts without asking them to end."""
        (pilot,) = stage.pilots_on_all_nodes()
        request = stage.submit(600)
        child = child_of(pilot)
        other = stage.submit(kind="stubborn-nap")
        began = time.monotonic()
        stage.until(other, JobState.DONE)
        stage.pilot_report(pilot.job)
        report = stage.until(request, JobState.FAILED)
        assert "its pilot has ended" in report.reason
        assert time.monotonic() - began < stage.crew.silence
        until(lambda: is_over(child), 30)

    @pytest.mark.parametrize("command", ["condor_hold", "condor_vacate_job"])
    def test_a_pilot_that_people_send_away_delivers_its_task(
        self, command: str, stage: StandbyBench, pool: Pool
    ) -> None:
        pilot = stage.pilot()
        request = stage.submit(4)
        child_of(pilot)
        pool.command(command, stage.pilot_report(pilot.job).native_id)
        stage.until(request, JobState.DONE)
        until(lambda: stage.pilot_report(pilot.job).state in (JobState.HELD, JobState.QUEUED), 60)
        stage.crew.pilots.cancel(pilot.job)

    @pytest.mark.parametrize("daemon", ["shadow", "starter"])
    def test_a_daemon_that_is_killed_brings_another_pilot(self, daemon: str, stage: StandbyBench, pool: Pool) -> None:
        pilot = stage.pilot()
        request = stage.submit(600)
        child = child_of(pilot)
        for process in pool.processes(f"condor_{daemon}"):
            pool.kill(process)
        assert "pilot" in stage.until(request, JobState.FAILED, seconds=120).reason
        until(lambda: is_over(child), 60)
        other = stage.ready(pilot.job, 240, after=pilot.ready)
        assert other.pilot != pilot.pilot
        after = stage.submit()
        assert stage.is_warm(after)
        stage.until(after, JobState.DONE)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_hundred_kills_lose_and_repeat_nothing(tmp_path: Path, pool: Pool) -> None:
    def named(name: str) -> Callable[[], list[psutil.Process]]:
        return lambda: pool.processes(f"condor_{name}")

    victims = {name: named(name) for name in ("schedd", "shadow", "starter")}  # the master starts the schedd again
    run_kills(tmp_path, "htcondor-generic", KILLS, "[standby.openmp]\npilots = 1\n", victims)
