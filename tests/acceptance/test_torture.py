"""Random faults in all processes, after which the state is that of an undisturbed play (in full: `make torture`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.disk_faults import DiskFaults
from tests.acceptance.kill_scenarios import compare, play
from tests.acceptance.torture import torture

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_random_faults_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    expected = play(tmp_path / "undisturbed", {})
    state, done = torture(tmp_path, seed=20, faults=20)
    compare(state, expected)
    assert done.total() == 20
    assert len(done) >= 6, done


WRITER = """
import os, sqlite3, time
ledger = sqlite3.connect("ledger", isolation_level=None)
ledger.execute("CREATE TABLE t (x)")
while True:
    began, said = time.monotonic(), []
    for act in (lambda: ledger.execute("INSERT INTO t VALUES (1)"), lambda: os.mkdir(f"{began}")):
        try:
            act()
        except (OSError, sqlite3.Error) as error:
            said.append(type(error).__name__)
    print(*said, "slow" if time.monotonic() - began > 0.25 else "quick", flush=True)
    time.sleep(0.01)
"""


def test_a_disk_is_full_or_slow_for_one_process_which_can_still_speak(tmp_path: Path) -> None:
    disk = DiskFaults(tmp_path / "disk")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=tmp_path, env={**os.environ, **disk.environment},
        stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        said = (line.strip() for line in writer.stdout)
        assert "quick" in said
        assert disk.full(writer.pid, 0.5)
        assert "OperationalError OSError quick" in said
        assert "quick" in said
        assert disk.slow(writer.pid, 1.0)
        assert "slow" in said
        assert "quick" in said
        assert not disk.full(os.getpid(), 0.1)
        writer.kill()
