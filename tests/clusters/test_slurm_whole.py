"""The demo on a real Slurm cluster.

Not in CI, where the demo runs on an HTCondor pool at the same time. Two demos would localize six events on the same
cores, and each would take nearly twice as long.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters.cluster import Cluster
from tests.clusters.waiting import gwbatch

pytestmark = [pytest.mark.clusters, pytest.mark.long, pytest.mark.timeout(600)]


def test_the_demo_on_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    where = ["--site", "slurm-generic", "--state", str(tmp_path / "demo")]
    assert "All well" in gwbatch("demo", "--quick", *where, "--set", "queues.general.memory_mb=2400")
