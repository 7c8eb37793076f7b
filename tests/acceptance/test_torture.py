"""Random faults in all processes, after which the state is that of an undisturbed play (in full: `make torture`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.kill_scenarios import compare, play
from tests.acceptance.torture import torture

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_random_faults_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    expected = play(tmp_path / "undisturbed", {})
    state, done = torture(tmp_path, seed=20, faults=20)
    compare(state, expected)
    assert done.total() == 20
    assert len(done) >= 6, done
