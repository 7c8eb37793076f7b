"""The supervisor, which always restarts dead and hanging listeners and leaves no orphans behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gwbatch.clock import ManualClock, SystemClock
from gwbatch.dispatcher import supervisor as module
from gwbatch.dispatcher.supervisor import Supervisor, rotate
from gwbatch.ledger import Ledger


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_listener_that_keeps_dying_is_started_with_growing_pauses(
    ledger: Ledger, tmp_path: Path, clock: ManualClock
) -> None:
    supervisor = Supervisor({"bad": python("raise SystemExit(1)")}, ledger, tmp_path, clock)
    (child,) = supervisor._children
    pauses = []
    for _ in range(9):
        supervisor.step()
        assert child.process is not None
        child.process.wait()
        supervisor.step()
        pauses.append(child.not_before - clock.now())
        clock.advance(pauses[-1])
    assert pauses[0] <= 1.0
    assert pauses[3] > 4 * pauses[0]
    assert 40.0 < pauses[-1] <= 60.0
    assert ledger.read("SELECT restarts FROM heartbeats")[0]["restarts"] == 9
    supervisor.step()
    assert child.process is not None
    clock.advance(module.HEALTHY_AFTER + 1)  # after a healthy minute, earlier failures no longer count
    child.process.wait()
    supervisor.step()
    assert child.not_before - clock.now() <= 1.0


def test_a_listener_that_hangs_is_killed_and_started_again(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_AFTER", 0.5)
    supervisor = Supervisor({"stuck": python("import time; time.sleep(600)")}, ledger, tmp_path, SystemClock())
    (child,) = supervisor._children
    supervisor.step()
    assert child.process is not None
    first = child.process
    until(lambda: supervisor.step() or child.process is not first)
    assert first.returncode == -signal.SIGKILL
    assert ledger.read("SELECT restarts FROM heartbeats")[0]["restarts"] == 1
    supervisor.stop()


def test_a_listener_that_ignores_sigterm_is_made_to_leave(ledger: Ledger, tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    supervisor = Supervisor({"deaf": python(code)}, ledger, tmp_path, SystemClock())
    supervisor.step()
    (child,) = supervisor._children
    assert child.process is not None
    until(lambda: "up" in (tmp_path / "listener-deaf.log").read_text())
    supervisor.stop(patience=0.2)
    assert child.process.returncode == -signal.SIGKILL


def test_logs_are_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    path = tmp_path / "listener-x.log"
    for n in range(6):
        path.write_text(f"{n}" * 20)
        rotate(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"listener-x.log.{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_dispatcher_goes_its_listeners_go(tmp_path: Path, number: int) -> None:
    """After SIGKILL nobody is left to stop them, so they exit by themselves; after SIGTERM they drain first."""
    state = tmp_path / "state"
    command = [sys.executable, "-m", "gwbatch", "run", "--state", str(state)]
    for setting in ("kind=spool", f"directory={tmp_path}/in", "enabled=true"):
        command += ["--set", f"listeners.spool.{setting}"]
    dispatcher = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))
    until(lambda: psutil.Process(dispatcher.pid).children())
    (listener,) = psutil.Process(dispatcher.pid).children()
    until(lambda: (tmp_path / "in/done").exists())
    dispatcher.send_signal(number)
    assert dispatcher.wait(20) == (0 if number == signal.SIGTERM else -number)
    until(lambda: not listener.is_running() or listener.status() == psutil.STATUS_ZOMBIE)
