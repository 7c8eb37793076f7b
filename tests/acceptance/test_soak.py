"""Random kills of listener and dispatcher while messages flow, each of which must be processed exactly once."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger
from tests.integration.brokers import BrokerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]


def start(state: Path, bootstrap: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "gwbatch",
        "run",
        "--state",
        str(state),
        "--set",
        'plugins=["tests.acceptance.counting"]',
        "--set",
        f'plugin_folders=["{ROOT}"]',
    ]
    for setting in (f"bootstrap={bootstrap}", "group=gracedb", "auth=none", "start=earliest", "enabled=true"):
        command += ["--set", f"listeners.igwn-alert.{setting}"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def counted(ledger: Ledger) -> list[int]:
    try:
        return [row["n"] for row in ledger.read("SELECT n FROM counted")]
    except sqlite3.OperationalError:  # no message has been handled yet
        return []


@pytest.mark.parametrize(
    ("messages", "kills"), [(2_000, 12), pytest.param(20_000, 200, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_random_kills_lose_nothing_and_double_nothing(tmp_path: Path, messages: int, kills: int) -> None:
    chance = random.Random(messages)
    with BrokerProcess("cbc_soak") as broker:
        dispatcher = start(tmp_path / "state", broker.bootstrap)
        portion = messages // (kills + 1) + 1

        def flow() -> None:
            sent = 0
            while sent < messages:
                count = min(portion, messages - sent)
                for n in range(sent, sent + count):
                    broker.send("cbc_soak", b'{"n": %d}' % n)
                sent += count
                time.sleep(0.2)

        sender = threading.Thread(target=flow)
        sender.start()
        for _ in range(kills):
            time.sleep(chance.uniform(0.05, 1.0))
            victim = psutil.Process(dispatcher.pid)
            children = victim.children()
            if children and chance.random() < 0.5:
                with suppress(psutil.NoSuchProcess):  # it has just ended by itself
                    chance.choice(children).kill()
            else:
                victim.send_signal(signal.SIGKILL)
                dispatcher.wait()
                dispatcher = start(tmp_path / "state", broker.bootstrap)
        sender.join()
        ledger, deadline = open_ledger(tmp_path / "state"), time.monotonic() + 120
        while time.monotonic() < deadline:
            assert dispatcher.poll() is None
            if len(counted(ledger)) >= messages and ready(ledger, dispatcher.pid) and not waiting(ledger):
                break
            time.sleep(0.1)
        dispatcher.terminate()
        assert dispatcher.wait(30) == 0
    assert sorted(counted(ledger)) == list(range(messages))
    assert waiting(ledger) == 0
    assert ledger.read("SELECT count(*) FROM effects WHERE state = 'done'")[0][0] == messages // 100
    ledger.close()


def ready(ledger: Ledger, pid: int) -> bool:
    """Tell whether the dispatcher with this pid holds the lease."""
    return bool(ledger.read("SELECT 1 FROM leases WHERE pid = ? AND released = 0", (pid,)))


def waiting(ledger: Ledger) -> int:
    """Count the messages and effects that are not done."""
    sql = (
        "SELECT (SELECT count(*) FROM deliveries WHERE state <> 'done') "
        "+ (SELECT count(*) FROM effects WHERE state <> 'done')"
    )
    return int(ledger.read(sql)[0][0])


def open_ledger(state: Path) -> Ledger:
    """Open the ledger once the dispatcher has created it, which the kills may have delayed."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return Ledger(state / "ledger.sqlite")
        except (ConfigError, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)
