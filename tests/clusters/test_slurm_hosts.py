"""Slurm nodes that share only a folder for jobs with the submit host."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from gwbatch.dispatcher import run_once
from gwbatch.model import JobState
from tests.campaign_products import results, sleepers, whole
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.campaigns import done
from tests.clusters.campaigns import gwbatch as campaign
from tests.clusters.cluster import HERE, Cluster, started
from tests.clusters.one_event import localize_one
from tests.clusters.standby import STANDBY, StandbyBench
from tests.clusters.waiting import until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = [*PLUGIN, "scheduler.ask_soonest=0.5", "scheduler.ask_every=3", "scheduler.result_late=2"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a cluster whose nodes see nothing in the folder of all tests."""
    with started(nodes=2, within=f"{HERE / 'hide'} {tmp_path_factory.getbasetemp()}") as running:
        yield running


@pytest.fixture
def shared(cluster: Cluster) -> Iterator[Path]:
    """Return a folder that the submit host and the nodes share."""
    with tempfile.TemporaryDirectory(prefix="gwbatch-shared-") as folder:
        yield Path(folder)
        cluster.clear()  # before the folder is removed: a job that is ending still writes into it


def test_a_job_sees_nothing_of_ours_but_the_folder_for_jobs(tmp_path: Path, shared: Path) -> None:
    bench = SchedulerBench(shared, load_site("slurm-generic", QUICK).profile)
    parameters = {"seconds": 0.5, "look": str(tmp_path.parent)}
    request = run_once.prepare_job("nap", {}, "rest.txt", parameters, bench.profile, shared / "jobs" / "look")
    bench.scheduler.submit(request)
    bench.until(request, JobState.DONE)
    assert bench.facts(request)["sees"] == []
    assert [*tmp_path.parent.iterdir()] != []
    bench.scheduler.close()


def test_an_event_is_localized_while_the_dispatchers_state_is_on_the_submit_host_only(
    tmp_path: Path, shared: Path
) -> None:
    settings = [*QUICK, f"scheduler.job_directory={shared}"]
    assert localize_one(tmp_path / "one", "slurm-generic", settings)


def test_a_pilot_takes_tasks_through_the_folder_for_jobs(shared: Path) -> None:
    stage = StandbyBench(shared, load_site("slurm-generic", [*QUICK, *STANDBY]).profile)
    pilot = stage.pilot()
    request = stage.submit(0.5)
    assert stage.is_warm(request)
    stage.until(request, JobState.DONE)
    stage.leave(pilot.job)
    stage.scheduler.close()


def test_a_campaign_needs_only_its_folder(shared: Path) -> None:
    folder = sleepers(shared / "c", [0.2] * 40)
    site = ["--site", "slurm-generic", "--set", "campaign.node.processes=2", "--set", "campaign.partition=campaign"]
    campaign("submit", folder.path, "--nodes", 2, *site)
    until(lambda: done(folder) == 40, 150, lambda: campaign("status", folder.path))
    assert results(folder) == whole(40)
