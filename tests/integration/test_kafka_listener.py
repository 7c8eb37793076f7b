"""The Kafka listener on a real Kafka protocol: nothing lost, nothing doubled, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwbatch.clock import SystemClock
from gwbatch.config.profile import ListenerSettings
from gwbatch.handlers import REGISTRY, Registry, igwn_alert
from gwbatch.ledger import Ledger, positions
from gwbatch.listeners.kafka import KafkaListener
from tests.integration.brokers import BrokerProcess


@pytest.fixture
def registry() -> Iterator[Registry]:
    with REGISTRY.scratch() as scratch:
        igwn_alert.handler("cbc_gstlal", queue="superevent")(lambda alert: None)
        igwn_alert.handler("cbc_pycbc")(lambda alert: None)
        yield scratch


def listen(ledger: Ledger, bootstrap: str, start: str = "earliest", **settings: object) -> KafkaListener:
    configured = ListenerSettings(bootstrap=bootstrap, group="gracedb", start=start, **settings)  # type: ignore[arg-type]
    return KafkaListener("igwn-alert", configured, ledger, REGISTRY, SystemClock())


def step_until(listener: KafkaListener, condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        listener.step()


def received(ledger: Ledger) -> int:
    return int(ledger.read("SELECT count(*) FROM messages")[0][0])


def test_messages_get_to_their_lanes_with_their_offsets(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess("cbc_gstlal", "cbc_pycbc", "cbc_spiir") as broker:
        broker.send("cbc_gstlal", b'{"n": %d}', 3)
        broker.send("cbc_pycbc", b'{"m": %d}', 2)
        broker.send("cbc_spiir", b"nobody wants this")
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 5)
        listener.close()
        assert listener.connected
    rows = ledger.read("SELECT lane, count(*) AS n FROM deliveries GROUP BY lane ORDER BY lane")
    assert [tuple(row) for row in rows] == [("general", 2), ("superevent", 3)]
    stored = positions.positions(ledger.connection, "igwn-alert")
    assert stored["gracedb.cbc_gstlal", 0].next_offset == 3
    assert ledger.read("SELECT published FROM messages")[0]["published"] == pytest.approx(time.time(), abs=60)


def test_what_was_published_while_down_is_not_lost(ledger: Ledger, registry: Registry) -> None:
    """Also on the very first start at the end of the topic: `latest` is latest only once."""
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"before %d", 4)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: positions.positions(ledger.connection, "igwn-alert"))
        listener.close()
        assert received(ledger) == 0
        broker.send("cbc_gstlal", b"down %d", 5)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: received(ledger) == 5)
        listener.close()


def test_a_topic_that_appears_later_is_read_from_its_beginning(
    ledger: Ledger, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gwbatch.listeners.kafka.REFRESH", 0.2)
    with BrokerProcess("cbc_gstlal") as broker:
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: positions.positions(ledger.connection, "igwn-alert"))
        broker.send("cbc_pycbc", b"first %d", 2)
        step_until(listener, lambda: received(ledger) == 2)
        listener.close()


def test_messages_that_retention_dropped_are_counted(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"x")
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 1)
        listener.close()
        broker.send("cbc_gstlal", b"%d" + b"y" * 900_000, 12)  # the mock broker keeps about 5 MB
        listener = listen(ledger, broker.bootstrap)
        gap = lambda: ledger.read("SELECT gap FROM offsets")[0]["gap"]  # noqa: E731
        step_until(listener, lambda: gap() > 0 and gap() + received(ledger) == 13)
        listener.close()


def test_a_topic_that_was_made_again_is_read_from_its_start(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"old %d", 7)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 7)
        listener.close()
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"new %d", 3)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 10)
        listener.close()


def test_too_large_a_message_is_a_dead_letter_and_the_rest_flows(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"z" * 200_000)
        broker.send("cbc_gstlal", b"{}")
        listener = listen(ledger, broker.bootstrap, max_bytes=100_000)
        step_until(listener, lambda: received(ledger) == 2)
        listener.close()
    states = ledger.read("SELECT state, reason FROM deliveries ORDER BY id")
    assert [row["state"] for row in states] == ["dead", "new"]
    assert states[0]["reason"] == "payload of 200000 bytes, above the limit of 100000"
    assert ledger.read("SELECT max(length(payload)) AS n FROM messages")[0]["n"] < 10_000


def test_a_broker_that_is_away_is_waited_for(
    ledger: Ledger, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gwbatch.listeners.kafka.TIMEOUT", 0.5)
    listener = listen(ledger, "127.0.0.1:1")
    assert listener.step() == 0
    assert not listener.connected
    assert listener.note
    listener.close()


@pytest.mark.parametrize("point", ["listener.received", "listener.before_commit", "listener.after_commit"])
def test_killed_at_any_point_it_goes_on_where_it_was(ledger: Ledger, tmp_path: Path, point: str) -> None:
    """Killed ten times over while 2,000 messages flow: 2,000 received, none twice."""
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b'{"n": %d}', 2000)
        for count in [*range(1, 11), 0]:
            command = [sys.executable, "-m", "gwbatch", "listen", "igwn-alert", "--state", str(tmp_path / "state")]
            for setting in (f"bootstrap={broker.bootstrap}", "auth=none", "group=gracedb", "start=earliest"):
                command += ["--set", f"listeners.igwn-alert.{setting}"]
            kill = {"GWBATCH_KILL_AT": f"{point}:{1 + count % 2}"} if count else {}
            listener = subprocess.Popen(command, env={**os.environ, **kill}, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 30
            while listener.poll() is None and received(ledger) < 2000:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            if listener.poll() is None:
                listener.terminate()
            assert listener.wait(20) in (0, -signal.SIGKILL, -signal.SIGTERM)
            if received(ledger) == 2000:
                break
    assert received(ledger) == 2000
    assert ledger.read("SELECT count(DISTINCT payload) FROM messages")[0][0] == 2000
