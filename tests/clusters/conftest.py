from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from gwbatch.schedulers.htcondor.schedd import pool_release, release_of
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.cell import Cell
from tests.clusters.cluster import Cluster, started
from tests.clusters.environment import environment
from tests.clusters.pool import Pool


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    prefix = os.environ.get("GWBATCH_CONDOR")
    if prefix is None or os.geteuid() == 0:
        pytest.fail("start these tests with tests/clusters/run: it installs HTCondor and leaves root behind")
    running = Pool(Path(prefix), tmp_path_factory.mktemp("pool"))
    running.start()
    with environment(running.environment):
        yield running
    running.stop()


@pytest.fixture(autouse=True)
def bindings_that_fit(request: pytest.FixtureRequest) -> None:
    """Skip a test of the Python bindings if htcondor2's release differs from the pool's: it cannot authenticate."""
    chosen = getattr(request.node, "callspec", None)
    if chosen is not None and "python" in chosen.id.split("-") and "pool" in request.fixturenames:
        request.getfixturevalue("pool")
        import htcondor2

        ours, theirs = release_of(htcondor2.version()), pool_release(60.0)
        if ours != theirs:
            pytest.skip(f"htcondor2 {ours} cannot authenticate to HTCondor {theirs}")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if shutil.which("slurmctld", path=f"/usr/sbin:{os.environ['PATH']}") is None:
        pytest.fail("start these tests with tests/clusters/run: it installs Slurm")
    with started() as running:
        yield running


@pytest.fixture(scope="session")
def cell() -> Iterator[Cell]:
    prefix = os.environ.get("GRIDENGINE")
    if prefix is None:
        pytest.fail("start these tests with tests/clusters/run: it unpacks Grid Engine")
    with tempfile.TemporaryDirectory(prefix="gwbatch-gridengine-") as folder:
        running = Cell(Path(prefix), Path(folder))
        running.start()
        with environment(running.environment):
            yield running
        running.stop()


@pytest.fixture
def bench(tmp_path: Path, pool: Pool, request: pytest.FixtureRequest) -> Iterator[SchedulerBench]:
    """Make a bench on the pool; parametrize it indirectly with further settings."""
    settings = [*PLUGIN, "scheduler.ask_every=3", *getattr(request, "param", [])]
    made = SchedulerBench(tmp_path, load_site("htcondor-generic", settings).profile)
    yield made
    made.scheduler.close()
    pool.clear()
