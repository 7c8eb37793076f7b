"""The doorbell: ringing never blocks or fails, and wakes the listener at once."""

from __future__ import annotations

import os
import resource
import threading
from collections import Counter
from pathlib import Path

import pytest

from gwbatch.dispatcher import wake_up as waiting
from gwbatch.dispatcher.wake_up import Lookout, WakeUp
from gwbatch.ledger import Ledger
from gwbatch.ledger.doorbell import Doorbell


def test_ringing_without_a_listener_does_nothing(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path / "bell")
    bell.ring()
    listener = Doorbell(tmp_path / "bell")
    assert not listener.wait(0)
    bell.ring()
    assert listener.wait(5)
    listener.close()
    bell.ring()
    bell.ring()
    again = Doorbell(tmp_path / "bell")
    again.wait(0)
    bell.ring()
    assert again.wait(5)


def test_a_full_pipe_is_no_trouble(tmp_path: Path) -> None:
    listener, bell = Doorbell(tmp_path / "bell"), Doorbell(tmp_path / "bell")
    listener.wait(0)
    for _ in range(70_000):
        bell.ring()
    assert listener.wait(0)


def test_a_commit_of_anybody_wakes_the_dispatcher(ledger: Ledger) -> None:
    assert ledger.path is not None
    other, wake_up, stop = Ledger(ledger.path), WakeUp(ledger), threading.Event()
    thread = threading.Thread(target=wake_up.run, args=(stop,))
    thread.start()
    seen = wake_up.wait(wake_up.generation, 5)
    with other.transaction() as tx:
        tx.execute("INSERT INTO handled VALUES ('a', 'b', 1)")
    assert wake_up.wait(seen, 5) != seen
    stop.set()
    thread.join()


def test_a_transaction_without_changes_wakes_nobody(ledger: Ledger) -> None:
    """Otherwise workers that find nothing to do would wake each other for ever."""
    doorbell = ledger.doorbell
    assert doorbell is not None
    doorbell.wait(0)
    with ledger.transaction() as tx:
        tx.execute("UPDATE handled SET at = 2 WHERE 0")
    assert not doorbell.wait(0)
    with ledger.transaction() as tx:
        tx.execute("INSERT INTO handled VALUES ('a', 'b', 1)")
    assert doorbell.wait(0)


def test_one_of_the_idle_threads_looks_and_the_next_one_takes_over(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "IDLE", 0.02)
    monkeypatch.setattr(waiting, "RARELY", 3600.0)
    wake_up, stop, enough = WakeUp(ledger), threading.Event(), threading.Event()
    lookout, looks, busy = Lookout(wake_up), Counter[str](), set[str]()

    def work() -> None:
        while not stop.is_set():
            seen, name = wake_up.generation, threading.current_thread().name
            looks[name] += 1
            if looks[name] > 20 and not busy:  # it finds something that keeps it until the end of the test
                busy.add(name)
                wake_up.wake()
                stop.wait()
            elif looks[name] > 40:
                enough.set()
            lookout.wait(seen)

    threads = [threading.Thread(target=work, name=f"{n}") for n in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(30), looks
    stop.set()
    wake_up.wake()
    for thread in threads:
        thread.join()
    first, second = (count for _, count in looks.most_common()[1::-1])
    assert first > 20, looks
    assert second > 40, looks
    assert sum(looks.values()) - first - second <= 10, looks


def test_it_hears_with_more_files_open_than_select_knows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        listener, ringer = Doorbell(tmp_path / "doorbell"), Doorbell(tmp_path / "doorbell")
        assert not listener.wait(0)
        ringer.ring()
        assert listener.wait(1)
        listener.close()
        ringer.close()
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
