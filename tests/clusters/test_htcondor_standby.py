"""Pilots on a real HTCondor pool: they fetch their tasks by chirp, and bring the results home the same way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from tests.clusters.bench import PLUGIN
from tests.clusters.pool import Pool
from tests.clusters.standby import SMALL, StandbyBench, StandbyPlays

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
    """Pilots are jobs of the pool."""
