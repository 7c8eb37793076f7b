"""Pilots on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from tests.clusters.bench import PLUGIN
from tests.clusters.standby import SMALL, StandbyBench, StandbyPlays

pytestmark = pytest.mark.xdist_group("standby")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StandbyBench]:
    made = StandbyBench(tmp_path, load_site("local", [*PLUGIN, *SMALL]).profile)
    made.ends_gently = False  # this machine kills
    yield made
    made.end_pilots()
    made.scheduler.close()


class TestOnThisMachine(StandbyPlays):
    """Local pilots."""
