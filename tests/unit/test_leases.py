"""Leases: a live holder is respected, a dead one replaced at once, and a former one fenced off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gwbatch.errors import AlreadyRunning, LeaseLost
from gwbatch.ledger import Ledger, leases

HOLD = """
import sys, time
from pathlib import Path
from gwbatch.ledger import Ledger, leases
ledger = Ledger(Path(sys.argv[1]))
with ledger.transaction() as tx:
    leases.acquire(tx, "dispatcher", time.time())
print("held", flush=True)
time.sleep(600)
"""


def test_a_living_holder_is_named_and_a_killed_one_replaced_at_once(ledger: Ledger) -> None:
    path: Path | None = ledger.path
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(AlreadyRunning, match=f"host {os.uname().nodename} with pid {holder.pid}"),
        ledger.transaction() as tx,
    ):
        leases.acquire(tx, "dispatcher", 0.0)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with ledger.transaction() as tx:
        assert leases.acquire(tx, "dispatcher", 0.0).token == 2


def test_who_lost_the_lease_can_write_nothing(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        old = leases.acquire(tx, "dispatcher", 0.0)
        new = leases.acquire(tx, "dispatcher", 0.0)  # the same process again
    with pytest.raises(LeaseLost, match="writes nothing more"), ledger.transaction() as tx:
        leases.check(tx, old)
    with ledger.transaction() as tx:
        leases.check(tx, new)
        leases.release(tx, new)
    with pytest.raises(LeaseLost), ledger.transaction() as tx:
        leases.beat(tx, new, 1.0)


def test_a_holder_on_another_host_counts_as_alive_until_its_heartbeat_is_stale(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", 0.0)
        tx.execute("UPDATE leases SET host = 'elsewhere'")
        with pytest.raises(AlreadyRunning, match="elsewhere"):
            leases.acquire(tx, "dispatcher", leases.STALE_AFTER - 1)
        assert leases.acquire(tx, "dispatcher", leases.STALE_AFTER + 1).token == 2
