"""The demonstration itself: real processes, real BAYESTAR, real plots."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
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


def test_a_demo_that_is_told_to_end_takes_all_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gwbatch", "demo", "--quick", "--state", str(tmp_path / "demo")]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started: list[psutil.Process] = []
    end = time.monotonic() + 120
    while not any("listen" in process.cmdline() for process in started):
        assert time.monotonic() < end
        assert demo.poll() is None
        time.sleep(0.2)
        started = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGTERM)
    assert demo.wait(90) != 0
    _, left = psutil.wait_procs(started, timeout=60)
    for process in left:
        process.kill()
    assert [process.pid for process in left] == []
