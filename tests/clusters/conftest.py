from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from tests.clusters.bench import PLUGIN, Bench
from tests.clusters.pool import Pool


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    prefix = os.environ.get("GWBATCH_CONDOR")
    if prefix is None or os.geteuid() == 0:
        pytest.fail("start these tests with tests/clusters/run: it installs HTCondor and leaves root behind")
    running = Pool(Path(prefix), tmp_path_factory.mktemp("pool"))
    running.start()
    before = {name: os.environ.get(name) for name in running.environment}
    os.environ.update(running.environment)
    yield running
    running.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture
def bench(tmp_path: Path, pool: Pool, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Parametrize it indirectly with further settings."""
    settings = [*PLUGIN, "scheduler.ask_every=3", *getattr(request, "param", [])]
    made = Bench(tmp_path, load_site("htcondor-generic", settings).profile)
    yield made
    made.scheduler.close()
    pool.clear()
