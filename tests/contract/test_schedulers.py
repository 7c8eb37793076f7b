"""The scheduler contract on local jobs and fake batch systems, in which the tests let jobs begin, end and vanish.

The tests on real batch systems are in ``tests/clusters``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.contract import RemoteContract, SchedulerContract
from tests.contract.worlds import (
    GridEngineWorld,
    HTCondorWorld,
    LocalWorld,
    PyslurmWorld,
    SimulatedWorld,
    SlurmWorld,
    World,
)


class TestLocal(SchedulerContract):
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
        return LocalWorld(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", [SimulatedWorld, HTCondorWorld, SlurmWorld, PyslurmWorld, GridEngineWorld])
class TestRemote(RemoteContract):
    @pytest.fixture
    def world(self, kind: type[World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
        return kind(tmp_path, monkeypatch)
