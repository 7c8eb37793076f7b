from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.alert_harness import alert_harness, broker_processes  # noqa: F401  fixtures
from tests.integration.harness import Harness, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "sandbox")
    yield running
    running.stop()


@pytest.fixture
def harness(tmp_path: Path, server: Server) -> Iterator[Harness]:
    made = Harness(tmp_path / "state", server)
    yield made
    made.ledger.close()
