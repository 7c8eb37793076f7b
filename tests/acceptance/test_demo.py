"""The demonstration itself: real processes, real BAYESTAR, real plots."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_the_quick_demo_ends_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gwbatch", "demo", "--quick", "--state", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    log = tmp_path / "demo/dispatcher.log"
    assert done.returncode == 0, done.stdout + done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    assert "All well" in done.stdout
    assert "Where time goes" in done.stdout
    assert len(list((tmp_path / "demo/pictures").glob("*/bayestar.png"))) == 2


def test_a_demo_folder_is_not_used_twice(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/ledger.sqlite").touch()
    command = [sys.executable, "-m", "gwbatch", "demo", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "holds an earlier demo" in done.stderr
