from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.resources import demo_event
from gwbatch.jobs.science import without_mpi
from gwbatch.ledger import Ledger

without_mpi()  # BAYESTAR in a test is not to start it

BROWSER = "no chromium on this machine (Debian: apt-get install chromium)"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not tested, and how to have it tested."""
    reports = terminalreporter.stats.get("skipped", [])
    without_browser = sum(BROWSER in str(report.longrepr) for report in reports)
    if without_browser:
        terminalreporter.write_line(
            f"NOT TESTED: {without_browser} tests of the console in a real browser; install chromium to run them "
            "(Debian: apt-get install chromium), or set GWBATCH_NEEDS_BROWSER=1 to have them fail instead.",
            yellow=True,
        )


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
