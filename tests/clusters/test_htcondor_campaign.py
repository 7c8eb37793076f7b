"""Campaigns on a real HTCondor pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import reading
from gwbatch.config.profile import load_site
from gwbatch.config.resources import example_event
from gwbatch.schedulers import make_campaign_jobs
from gwbatch.schedulers.campaign import ParcelJobs
from tests.campaign_products import TRACE, results, sleepers, whole
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.campaigns import INJECTIONS, CampaignPlays, done, gwbatch
from tests.clusters.pool import Pool
from tests.clusters.waiting import until

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

    def test_parcels_reach_nodes_that_do_not_see_the_folder(self, tmp_path: Path, site: list[str]) -> None:
        """Jobs run in the pool's own scratch folders, and the sender is a job on the access point."""
        folder = Folder(tmp_path / "c")
        gwbatch("plan", INJECTIONS, example_event("short"), "-o", folder.path, "--products", "map,stats")
        apart = [*site, "--set", "campaign.shared_folder=false"]
        assert len(gwbatch("submit", folder.path, "--nodes", 1, "--cores", 2, *apart)["jobs"]) == 1
        assert gwbatch("submit", folder.path, "--nodes", 1, *apart, code=4) is None
        until(lambda: done(folder) == 3, 400, lambda: gwbatch("status", folder.path))
        assert gwbatch("stats", folder.path)["events"] == 3
        assert gwbatch("verify", folder.path)["faults"] == []
        until(lambda: gwbatch("status", folder.path)["live"]["ended"], 60)
        assert not list(folder.parcels.iterdir())

    @pytest.mark.parametrize("end", ["killed", "restart of the schedd"])
    def test_a_sender_that_is_interrupted_continues_with_its_parcels(
        self, tmp_path: Path, site: list[str], pool: Pool, end: str
    ) -> None:
        folder = sleepers(tmp_path / "c", [0.5] * 60)
        batch = make_campaign_jobs(load_site("htcondor-generic", SETTINGS).profile)
        assert isinstance(batch, ParcelJobs)
        gwbatch("submit", folder.path, "--nodes", 1, "--cores", 2, *site, "--set", "campaign.shared_folder=false")
        until(lambda: "running" in batch.parcels(folder.path).values(), 120)
        out = set(batch.parcels(folder.path))
        if end == "killed":
            (sender,) = pool.processes("gwbatch campaign send")
            pool.kill(sender)
        else:
            pool.command("condor_restart", "-schedd")
        until(lambda: done(folder) == 60, 300, lambda: gwbatch("status", folder.path))
        assert results(folder) == whole(60)
        with reading(folder.table) as connection:
            holders = {row[0] for row in connection.execute("SELECT holder FROM events")}
        assert out <= holders

    def test_a_parcel_that_is_sent_away_keeps_what_is_done(
        self, tmp_path: Path, site: list[str], pool: Pool, queue: Callable[[Folder], dict[str, str]]
    ) -> None:
        folder, trace = sleepers(tmp_path / "c", [0.5] * 60), tmp_path / "trace"
        settings = ["campaign.shared_folder=false", f"scheduler.environment.{TRACE}={trace}"]
        gwbatch("submit", folder.path, "--nodes", 1, "--cores", 2, *site, *(w for s in settings for w in ("--set", s)))
        until(lambda: trace.exists() and len(trace.read_text().split()) > 6, 120)
        pool.command("condor_vacate_job", "-constraint", 'GwbatchRole == "campaign-parcel"')
        until(lambda: done(folder) == 60, 300, lambda: gwbatch("status", folder.path))
        assert results(folder) == whole(60)
        assert 60 <= len(trace.read_text().split()) <= 62, "only events that were running are done again"
        with reading(folder.table) as connection:
            assert connection.execute("SELECT max(attempts), max(interruptions) FROM events").fetchone()[:] == (0, 0)
