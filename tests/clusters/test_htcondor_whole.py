"""The demo, with real sky maps, on a real HTCondor pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters.pool import Pool
from tests.clusters.waiting import gwbatch

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]


def test_the_demo_on_the_pool(pool: Pool, tmp_path: Path) -> None:
    where = ["--site", "htcondor-generic", "--state", str(tmp_path / "demo")]
    assert "All well" in gwbatch("demo", "--quick", *where, "--set", "queues.general.memory_mb=3000")
