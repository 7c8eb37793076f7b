"""The demo on a real Grid Engine cell; not in CI, where the demo runs on an HTCondor pool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clusters.cell import Cell
from tests.clusters.test_gridengine import SITE
from tests.clusters.waiting import gwbatch

pytestmark = [pytest.mark.clusters, pytest.mark.long, pytest.mark.timeout(900)]


def test_the_demo_on_the_cell(cell: Cell, tmp_path: Path) -> None:
    plug_in = f"plugin_folders=[{os.environ['GRIDENGINE'] + '/plugin'!r}]"
    assert "All well" in gwbatch("demo", "--quick", "--site", SITE, "--state", str(tmp_path / "demo"), "--set", plug_in)
