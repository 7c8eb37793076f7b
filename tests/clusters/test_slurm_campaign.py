"""Campaigns on a real Slurm cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwbatch.campaigns.folder import Folder
from gwbatch.config.profile import load_site
from gwbatch.schedulers import make_campaign_jobs
from tests.campaign_products import results, sleepers, whole
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.campaigns import CampaignPlays, done, gwbatch
from tests.clusters.cluster import Cluster
from tests.clusters.waiting import until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

SETTINGS = ["scheduler.bindings=cli", "campaign.node.processes=2", "campaign.partition=campaign"]


LOOPBACK = "OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo"
AS_ROOT = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
LAUNCHERS = [
    "auto",
    "srun --mpi=pmi2 --cpu-bind=none --mem=0",  # MPICH
    f"env {LOOPBACK} srun --mpi=pmix --cpu-bind=none --mem=0",  # Open MPI
    f"env {LOOPBACK} {AS_ROOT} mpiexec.openmpi --map-by ppr:1:node --bind-to none",
]


@pytest.fixture
def site(cluster: Cluster) -> Iterator[list[str]]:
    yield ["--site", "slurm-generic", *(word for setting in SETTINGS for word in ("--set", setting))]
    cluster.clear()


@pytest.fixture
def queue() -> Callable[[Folder], object]:
    batch = make_campaign_jobs(load_site("slurm-generic", SETTINGS).profile)
    return lambda folder: batch.in_queue(folder.path)


@pytest.fixture
def alerts(tmp_path: Path, cluster: Cluster) -> Iterator[SchedulerBench]:
    made = SchedulerBench(tmp_path, load_site("slurm-generic", [*PLUGIN, "scheduler.partition=main"]).profile)
    yield made
    made.scheduler.close()


@pytest.fixture
def evict(cluster: Cluster, queue: Callable[[Folder], dict[str, str]]) -> Callable[[Folder], None]:
    def requeue(folder: Folder) -> None:
        running = next(job for job, state in queue(folder).items() if state == "running")
        cluster.command("scontrol", "requeue", running)

    return requeue


class TestOnSlurm(CampaignPlays):
    """Tests of campaigns whose workers are a job array."""

    nodes = 4

    @pytest.mark.parametrize("launcher", LAUNCHERS, ids=["auto", "srun-mpich", "srun-openmpi", "mpiexec-openmpi"])
    def test_one_mpi_program_over_two_nodes(
        self, tmp_path: Path, cluster: Cluster, site: list[str], queue: Callable[[Folder], object], launcher: str
    ) -> None:
        if "pmix" in launcher and "pmix" not in cluster.mpi():
            pytest.skip("This Slurm has no PMIx plugin.")
        folder = sleepers(tmp_path / "c", [0.3] * 60)
        gwbatch("submit", folder.path, "--nodes", 2, "--mpi", *site, "--set", f"campaign.launcher={launcher}")
        until(lambda: done(folder) == 60, 150, lambda: [path.read_text() for path in folder.logs.glob("ranks-*")])
        assert results(folder) == whole(60)
        assert len(json.loads(folder.status.read_text())["nodes"]) == 2
        until(lambda: not queue(folder), 60)
