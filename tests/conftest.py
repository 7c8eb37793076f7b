from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.resources import example_event
from gwbatch.jobs.science import without_mpi
from gwbatch.ledger import Ledger

without_mpi()  # keeps BAYESTAR from starting MPI in a test

# On a shared machine, the time that an example takes means nothing.
hypothesis.settings.register_profile("gwbatch", deadline=None)
hypothesis.settings.load_profile("gwbatch")

TOGETHER = (  # each on one worker, because the fixtures that its tests share take minutes
    "tests/integration/test_campaign_science.py",
    "tests/integration/test_em_bright_classifier.py",
)


class Scheduling(LoadScopeScheduling):
    """Send each test to the next free worker, but keep those of a file in `TOGETHER` on one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # With pytest 9.2, the marks of pytest-xdist no longer reach its scheduler.
    return Scheduling(config, log)


BROWSER = "no chromium on this machine (Debian: apt-get install chromium)"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Report the browser tests that were skipped, and how to run them."""
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
    """Return a simulated event with a shortened SNR series, so that BAYESTAR takes only seconds."""
    return example_event("short")
