from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alert_rig import alert_rig, broker_processes  # noqa: F401  fixtures
from tests.integration.rig import Rig, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "sandbox")
    yield running
    running.stop()


@pytest.fixture
def rig(tmp_path: Path, server: Server) -> Iterator[Rig]:
    made = Rig(tmp_path / "state", server)
    yield made
    made.ledger.close()
