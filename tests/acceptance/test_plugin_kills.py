"""Kills (SIGKILL) of a dispatcher around a plug-in's effects and timers, which must still happen once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gwbatch.ledger import Ledger

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LINES = 3


def start(folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    settings = ['plugins=["tests.acceptance.noting"]', f'plugin_folders=["{ROOT}"]']
    settings += ["listeners.spool.kind=spool", f"listeners.spool.directory={folder}/spool", "effect_workers=1"]
    again = [argument for setting in settings for argument in ("--set", setting)]
    command = [sys.executable, "-m", "gwbatch", "run", "--state", str(folder / "state"), *again]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=(folder / "log").open("ab"))


@pytest.mark.parametrize("point", ["effect.claimed", "noting.written", "effect.before_done", "effect.after_done"])
def test_an_effect_of_a_plugin_happens_once(tmp_path: Path, point: str) -> None:
    kill(tmp_path, f"{point}:2", "cbc_noted")


@pytest.mark.parametrize(
    "point",
    [
        "lane.superevent.before_commit",  # while the timers are set
        "lane.superevent.after_commit",
        "timers.before_commit",  # while they fire
        "lane.superevent.before_commit:2",  # while their messages are handled
    ],
)
def test_a_timer_that_a_plugin_sets_fires_once(tmp_path: Path, point: str) -> None:
    kill(tmp_path, point, "cbc_later")


def kill(tmp_path: Path, point: str, topic: str) -> None:
    """Send alerts, kill the dispatcher at a point, start it again, and expect each line once."""
    (tmp_path / "spool").mkdir()
    alerts = [json.dumps({"topic": topic, "payload": {"number": n}}) for n in range(LINES)]
    (tmp_path / "spool" / "alerts.jsonl").write_text("\n".join(alerts))
    environment = {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}
    dispatcher, killed, deadline = start(tmp_path, environment), 0, time.monotonic() + 60
    while done(tmp_path / "state") < LINES:
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
        if dispatcher.poll() is not None:
            assert dispatcher.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
            killed += 1
            dispatcher = start(tmp_path, environment)
        time.sleep(0.05)
    assert killed == 1
    dispatcher.terminate()
    assert dispatcher.wait(30) == 0
    assert sorted((tmp_path / "state" / "lines.txt").read_text().split()) == [str(n) for n in range(LINES)]


def done(state: Path) -> int:
    if not (state / "ledger.sqlite").exists():
        return 0
    try:
        ledger = Ledger(state / "ledger.sqlite")
    except Exception:
        return 0  # it is still being created
    try:
        return int(ledger.read("SELECT count(*) FROM effects WHERE state = 'done'")[0][0])
    finally:
        ledger.close()
