"""Pilots on a real HTCondor pool, which fetch their tasks and deliver the results by chirp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from gwbatch.model import JobState
from tests.clusters.bench import PLUGIN
from tests.clusters.pool import Pool
from tests.clusters.standby import SMALL, StandbyBench, StandbyPlays, child_of, is_over
from tests.clusters.waiting import until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = ["scheduler.ask_every=3", "queues.general.memory_mb=200"]


@pytest.fixture
def stage(tmp_path: Path, pool: Pool) -> Iterator[StandbyBench]:
    made = StandbyBench(tmp_path, load_site("htcondor-generic", [*PLUGIN, *QUICK, *SMALL]).profile)
    yield made
    made.end_pilots()
    made.scheduler.close()
    pool.clear()


class TestOnHTCondor(StandbyPlays):
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

    def test_a_shadow_that_is_killed_brings_another_pilot(self, stage: StandbyBench, pool: Pool) -> None:
        pilot = stage.pilot()
        request = stage.submit(600)
        child = child_of(pilot)
        for shadow in pool.processes("condor_shadow"):
            pool.kill(shadow)
        assert "pilot" in stage.until(request, JobState.FAILED, seconds=120).reason
        until(lambda: is_over(child), 60)
        other = stage.ready(pilot.job, 240, after=pilot.ready)
        assert other.pilot != pilot.pilot
        after = stage.submit()
        assert stage.is_warm(after)
        stage.until(after, JobState.DONE)
