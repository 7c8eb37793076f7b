"""The Kafka listener over the real Kafka protocol: nothing lost and nothing duplicated, whichever process dies."""

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
from gwbatch.errors import LedgerBusy, TransientError
from gwbatch.handlers import igwn_alert
from gwbatch.handlers.decoding import decode
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, offsets
from gwbatch.listeners.kafka import KafkaListener
from tests.declared import current, declaring
from tests.integration.brokers import BrokerProcess


@pytest.fixture
def registry() -> Iterator[Registry]:
    with declaring() as scratch:
        igwn_alert.handler("cbc_gstlal", queue="superevent")(lambda alert: None)
        igwn_alert.handler("cbc_pycbc")(lambda alert: None)
        yield scratch


def listen(ledger: Ledger, bootstrap: str, start: str = "earliest", **settings: object) -> KafkaListener:
    configured = ListenerSettings(bootstrap=bootstrap, group="gracedb", start=start, **settings)  # type: ignore[arg-type]
    return KafkaListener("igwn-alert", configured, ledger, current(), SystemClock())


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
    stored = offsets.stored(ledger.connection, "igwn-alert")
    assert stored["gracedb.cbc_gstlal", 0].next_offset == 3
    assert ledger.read("SELECT published FROM messages")[0]["published"] == pytest.approx(time.time(), abs=60)


def test_what_was_published_while_down_is_not_lost(ledger: Ledger, registry: Registry) -> None:
    """`latest` applies only to the very first start; a restart continues from the stored offsets."""
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"before %d", 4)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: offsets.stored(ledger.connection, "igwn-alert"))
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
        step_until(listener, lambda: offsets.stored(ledger.connection, "igwn-alert"))
        broker.send("cbc_pycbc", b"first %d", 2)
        step_until(listener, lambda: received(ledger) == 2)
        listener.close()


def listened_to(ledger: Ledger) -> set[str]:
    return {topic for topic, _ in offsets.stored(ledger.connection, "igwn-alert")}


def many(registry: Registry, *names: str) -> None:
    for name in names:
        igwn_alert.handler(name)(lambda alert: None)


def test_latest_the_first_time_holds_for_every_topic_and_partition(ledger: Ledger, registry: Registry) -> None:
    """A connection stores the offsets of some topics before it sees the others; that does not make the others new."""
    names = [f"cbc_x{number}" for number in range(10)]
    many(registry, *names)
    with BrokerProcess(*names) as broker:
        broker.do(b"!partitions gracedb.cbc_wide 7")
        many(registry, "cbc_wide")
        for name in names:
            broker.send(name, b"old %d", 3)
        for partition in range(7):
            broker.send(f"cbc_wide/{partition}", b"old", 2)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: len(listened_to(ledger)) == 11)
        for _ in range(4):
            listener.step()
        assert received(ledger) == 0
        broker.send("cbc_x9", b"new")
        broker.send("cbc_wide/6", b"new")
        step_until(listener, lambda: received(ledger) == 2)
        listener.close()


def test_a_topic_that_is_switched_on_later_begins_at_its_end(ledger: Ledger, registry: Registry) -> None:
    """The topic existed before, so the messages it has retained are old."""
    with BrokerProcess("cbc_gstlal", "cbc_late") as broker:
        broker.send("cbc_late", b"old %d", 4)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: offsets.stored(ledger.connection, "igwn-alert"))
        listener.close()
        many(registry, "cbc_late")
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: len(listened_to(ledger)) == 2)
        for _ in range(4):
            listener.step()
        assert received(ledger) == 0
        listener.close()


def test_a_topic_that_was_awaited_is_read_from_its_beginning_after_a_restart(
    ledger: Ledger, registry: Registry
) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: offsets.awaited(ledger.connection, "igwn-alert"))
        listener.close()
        broker.send("cbc_pycbc", b"first %d", 2)
        listener = listen(ledger, broker.bootstrap, "latest")
        step_until(listener, lambda: received(ledger) == 2)
        assert offsets.awaited(ledger.connection, "igwn-alert") == set()
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
    """Killed up to ten times while 2,000 messages flow, the listener receives them all, and none twice."""
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


# ---- broker failures -----------------------------------------------------------------------------------------


def test_an_outage_delays_and_loses_nothing(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"%d", 2)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 2)
        broker.do(b"!down")
        for _ in range(6):
            listener.step()
        broker.do(b"!up")
        broker.send("cbc_gstlal", b"after %d", 3)
        step_until(listener, lambda: received(ledger) == 5)
        assert listener.connected
        listener.close()


@pytest.mark.parametrize("trouble", [b"!errors 20", b"!slow 300"])
def test_errors_and_slowness_are_lived_through(ledger: Ledger, registry: Registry, trouble: bytes) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"%d", 50)
        broker.do(trouble)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 50)
        listener.close()


def test_partitions_that_are_added_are_read(ledger: Ledger, registry: Registry) -> None:
    with BrokerProcess() as broker:
        broker.do(b"!partitions gracedb.cbc_gstlal 3")
        for partition in range(3):
            broker.send(f"cbc_gstlal/{partition}", b"%d", 2)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 6)
        listener.close()
    assert len(offsets.stored(ledger.connection, "igwn-alert")) == 3


def test_a_topic_that_was_made_again_and_grew_longer_is_known_by_its_content(
    ledger: Ledger, registry: Registry
) -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"old %d", 3)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 3)
        listener.close()
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"new %d", 8)
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 11)
        listener.close()


# ---- GCN --------------------------------------------------------------------------------------------------------

FERMI = "gcn.classic.voevent.FERMI_GBM_FIN_POS"
NOTICE = b'<VOEvent><What><Param name="Packet_Type" value="115"/></What></VOEvent>'


@pytest.fixture
def gcn_registry() -> Iterator[Registry]:
    from gwbatch import gcn

    with declaring() as scratch:
        gcn.handler("FERMI_GBM_FIN_POS", queue="exttrig")(lambda payload: None)
        gcn.handler("gcn.notices.swift.bat.guano", queue="exttrig")(lambda payload: None)
        igwn_alert.handler("cbc_gstlal")(lambda alert: None)
        yield scratch


def listen_gcn(ledger: Ledger, bootstrap: str) -> KafkaListener:
    settings = ListenerSettings(kind="gcn", bootstrap=bootstrap, start="earliest")
    return KafkaListener("gcn", settings, ledger, current(), SystemClock())


def test_gcns_own_producer_is_understood(ledger: Ledger, gcn_registry: Registry) -> None:
    from gcn_kafka import Producer

    with BrokerProcess() as broker:
        producer = Producer(config={"bootstrap.servers": broker.bootstrap, "security.protocol": "PLAINTEXT"})
        producer.produce(FERMI, NOTICE)
        producer.produce("gcn.notices.swift.bat.guano", b'{"id": ["1"]}')
        producer.produce("gcn.classic.voevent.SNEWS", b"nobody wants it")
        producer.flush(10)
        listener = listen_gcn(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 2)
        listener.close()
    rows = ledger.read(
        "SELECT m.topic, m.payload, d.lane FROM messages m JOIN deliveries d ON d.message_id = m.id ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        (FERMI, NOTICE, "exttrig"),
        ("gcn.notices.swift.bat.guano", b'{"id": ["1"]}', "exttrig"),
    ]


def test_the_heartbeat_is_a_sign_of_life_and_never_stored(
    ledger: Ledger, gcn_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gwbatch.listeners.kafka.SILENCE", 1.0)
    with BrokerProcess("heartbeat", group="gcn") as broker:
        listener = listen_gcn(ledger, broker.bootstrap)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            listener.step()
            broker.send("heartbeat", b"{}")
        assert received(ledger) == 0
        with pytest.raises(TransientError, match=r"No message on gcn\.heartbeat for 1 s"):
            step_until(listener, lambda: False, 5)
        listener.close()


def test_the_fields_own_alert_producer_is_understood(ledger: Ledger, registry: Registry) -> None:
    """The igwn-alert client sends JSON inside a JSON string."""
    program = """
import sys
from igwn_alert import client
port = int(sys.argv[1])
alerts = client(server=f"kafka://127.0.0.1:{port}/", port=port, group="gracedb", noauth=True)
alerts.connect("cbc_gstlal")
alerts.publish_to_topic("cbc_gstlal", '{"uid": "G1", "alert_type": "new"}')
while alerts.sessions["cbc_gstlal"].flush():  # it gives up after ten seconds, which a busy machine may need
    pass
"""
    with BrokerProcess("cbc_gstlal") as broker:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(broker.port)],
            check=True, timeout=60, env={**os.environ, "HOP_AUTOMATIC_OFFLOAD": "false"},
        )  # fmt: skip
        listener = listen(ledger, broker.bootstrap)
        step_until(listener, lambda: received(ledger) == 1)
        listener.close()
    (row,) = ledger.read("SELECT payload FROM messages")
    assert decode("cbc_gstlal", row["payload"]) == {"uid": "G1", "alert_type": "new"}


def test_a_ledger_that_is_busy_makes_the_listener_read_again(
    ledger: Ledger, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener does not skip what it could not write."""
    with BrokerProcess("cbc_gstlal") as broker:
        broker.send("cbc_gstlal", b"first %d", 3)
        listener = listen(ledger, broker.bootstrap)
        real = ledger.transaction
        failures = []

        def busy() -> object:
            if len(failures) < 3 and offsets.stored(ledger.connection, "igwn-alert"):
                failures.append(1)
                raise LedgerBusy("locked")
            return real()

        monkeypatch.setattr(ledger, "transaction", busy)
        deadline = time.monotonic() + 30
        while received(ledger) < 6 and time.monotonic() < deadline:
            try:
                listener.step()
            except LedgerBusy:
                if len(failures) == 3:
                    broker.send("cbc_gstlal", b"second %d", 3)
        listener.close()
    assert len(failures) == 3
    assert received(ledger) == 6
