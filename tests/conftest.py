from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.resources import demo_event
from gwbatch.ledger import Ledger

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "state" / "ledger.sqlite", create=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def fast_coinc() -> Path:
    """A simulated event whose SNR series is cut short, so that BAYESTAR takes seconds."""
    return demo_event("short")
