"""Campaigns on a real HTCondor pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwbatch.campaigns.folder import Folder
from gwbatch.config.profile import load_site
from gwbatch.schedulers import make_campaign_jobs
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.campaigns import CampaignPlays
from tests.clusters.pool import Pool

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

SETTINGS = ["campaign.node.processes=2"]


@pytest.fixture
def site(pool: Pool) -> Iterator[list[str]]:
    yield ["--site", "htcondor-generic", *(word for setting in SETTINGS for word in ("--set", setting))]
    pool.clear()


@pytest.fixture
def queue(pool: Pool) -> Callable[[Folder], object]:
    batch = make_campaign_jobs(load_site("htcondor-generic", SETTINGS).profile)
    return lambda folder: batch.in_queue(folder.path)


@pytest.fixture
def alerts(tmp_path: Path, pool: Pool) -> Iterator[SchedulerBench]:
    made = SchedulerBench(tmp_path, load_site("htcondor-generic", [*PLUGIN, "scheduler.ask_every=3"]).profile)
    yield made
    made.scheduler.close()


@pytest.fixture
def evict(pool: Pool, queue: Callable[[Folder], dict[str, str]]) -> Callable[[Folder], None]:
    def vacate(folder: Folder) -> None:
        running = next(job for job, state in queue(folder).items() if state == "running")
        pool.command("condor_vacate_job", running)

    return vacate


class TestOnHTCondor(CampaignPlays):
    """Tests of campaigns whose workers are jobs of the pool."""

    nodes = 1
