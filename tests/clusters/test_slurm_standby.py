"""Pilots on a real Slurm cluster: told of a task by a step inside their own allocation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from tests.clusters.bench import PLUGIN
from tests.clusters.cluster import Cluster
from tests.clusters.standby import STANDBY, StandbyBench, StandbyPlays

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = ["scheduler.ask_soonest=0.5", "scheduler.ask_every=3"]


@pytest.fixture
def stage(tmp_path: Path, cluster: Cluster) -> Iterator[StandbyBench]:
    made = StandbyBench(tmp_path, load_site("slurm-generic", [*PLUGIN, *QUICK, *STANDBY]).profile)
    yield made
    made.end_pilots()
    made.scheduler.close()
    cluster.clear()


class TestOnSlurm(StandbyPlays):
    """Pilots are batch jobs with a node for themselves."""
