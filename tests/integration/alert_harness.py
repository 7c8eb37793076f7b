"""The test harness with public alerts: two brokers with the real Kafka protocol, and a reader of both topics."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from gwbatch import circulars
from gwbatch.config.alerts import AlertSettings, BrokerSettings
from gwbatch.config.policy import Policy
from gwbatch.executors.notices.producer import forget_publishers
from gwbatch.executors.notices.publishing import connect
from gwbatch.ledger import timers
from gwbatch.model import JobRequest
from gwbatch.orchestrator import load_handlers
from tests.integration.brokers import BrokerProcess
from tests.integration.harness import FACTS, Harness, Server, write_result

_numbers = count(1)
FITS = (Path(__file__).parents[1] / "data" / "tiny.multiorder.fits").read_bytes()
QUICK = {"fetch.wait.max.ms": 10}


@dataclass(frozen=True)
class Received:
    """A notice as an astronomer receives it."""

    key: str
    partition: int
    offset: int
    headers: dict[str, bytes]
    raw: bytes
    notice: dict[str, Any]

    @property
    def what(self) -> tuple[str, bool | None]:
        """The alert type, and whether the event is significant (None without an event)."""
        event = self.notice["event"]
        return self.notice["alert_type"], None if event is None else event["significant"]


def read_topic(bootstrap: str, topic: str) -> list[Received]:
    """Read everything on a topic, in order of partition and offset."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "astronomer", **QUICK})
    found: list[Received] = []
    try:
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            place = TopicPartition(topic, partition)
            low, high = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([TopicPartition(topic, partition, low)])
            while low < high:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None, message.error()
                low = message.offset() + 1
                found.append(_received(message))
    finally:
        consumer.close()
    return found


def _received(message: Any) -> Received:
    raw = message.value()
    if raw.startswith(b"Obj\x01"):
        (notice,) = fastavro.reader(io.BytesIO(raw))
    else:
        notice = json.loads(raw)
        jsonschema.validate(notice, schema())
    key = message.key().decode()
    return Received(key, message.partition(), message.offset(), dict(message.headers() or ()), raw, dict(notice))


def schema() -> Any:
    from importlib.resources import files

    return json.loads(files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text())


def work(request: JobRequest) -> None:
    """Let every job succeed, with FITS files as sky maps."""
    write_result(request, FACTS.get(request.kind))
    (output,) = (name for name in request.outputs if name != "result.json")
    if output.endswith(".fits"):
        (request.directory / output).write_bytes(FITS)
        write_again(request, output)


def write_again(request: JobRequest, output: str) -> None:
    from gwbatch.jobs import result

    value = json.loads((request.directory / result.NAME).read_text())
    value["outputs"][output]["sha256"] = result.sha256(request.directory / output)
    result.write_json(request.directory / result.NAME, value)


class AlertHarness(Harness):
    """A harness that sends notices to ``scimma`` (Avro) and ``gcn`` (JSON)."""

    def __init__(
        self, folder: Path, server: Server, brokers: dict[str, BrokerProcess], policy: Policy | None = None
    ) -> None:
        self.brokers = brokers
        self.topic = f"igwn.gwalert-{next(_numbers)}"
        for broker in brokers.values():
            broker.do(f"!partitions {self.topic} 4".encode())
        super().__init__(folder, server, policy, work)
        self.set_alerts(mode="all")

    def set_alerts(self, **changes: Any) -> None:
        """Replace the ``[alerts]`` table of the profile, and restart."""
        made = {
            name: BrokerSettings(
                bootstrap=broker.bootstrap,
                topic=self.topic,
                format=form,
                categories=["production", "mdc"],
                delivery_timeout=1.0,
                kafka=dict(QUICK),
            )
            for name, form in (("scimma", "avro"), ("gcn", "json"))
            if (broker := self.brokers.get(name)) is not None
        }
        self.profile = msgspec.structs.replace(
            self.profile, alerts=AlertSettings(**{"mode": "all", "brokers": made, **changes})
        )
        self.registry = load_handlers(self.policy, self.profile)
        self.restart()
        if changes.get("mode") != "off":
            connect(self.profile)

    def set_policy(self, **changes: Any) -> None:
        """Change values in the ``[alerts]`` table of the policy, and restart."""
        alerts = msgspec.structs.replace(self.policy.alerts, **changes)
        self.policy = msgspec.structs.replace(self.policy, alerts=alerts)
        self.restart()

    def received(self, broker: str = "gcn") -> list[Received]:
        return read_topic(self.brokers[broker].bootstrap, self.topic)

    def step(self) -> bool:
        """Step each part once, including the timers."""
        fired = 0
        if self.ledger.read("SELECT 1 FROM timers WHERE due <= ?", (self.clock.now(),)):
            with self.ledger.transaction() as tx:
                fired = timers.fire_due(tx, self.clock.now())
        return super().step() or bool(fired)

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass and no more, even if something is still being retried."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            self.step()
            self.clock.advance(0.1)

    def kinds(self, broker: str = "gcn") -> list[tuple[str, bool | None]]:
        return [one.what for one in self.received(broker)]

    def notices(self) -> list[tuple[str, str]]:
        """Return the name and state of every notice, in the order in which they were planned."""
        from gwbatch.mirror import public_notices

        rows = self.ledger.read("SELECT id FROM public_notices ORDER BY id")
        found = [public_notices.get(self.ledger.connection, row["id"]) for row in rows]
        return [(one.name, one.state) for one in found if one is not None]

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.ledger.read("SELECT reason FROM public_notices ORDER BY id")]

    def superevent(self) -> dict[str, Any]:
        (found,) = self.server.client.superevents("category: Production")
        return dict(found)

    @property
    def sid(self) -> str:
        return str(self.superevent()["superevent_id"])


REAL_DRAFT = circulars.draft


def draft_quickly(request: circulars.Request) -> str:
    """Replace the field's tool, which takes 3 s per draft, in tests about something else."""
    return f"Draft about {request.superevent}"


@pytest.fixture(name="brokers", scope="module")
def broker_processes() -> Iterator[dict[str, BrokerProcess]]:
    """Run both brokers. Each harness has a topic of its own on them, with four partitions."""
    brokers = {name: BrokerProcess(group="") for name in ("scimma", "gcn")}
    yield brokers
    for broker in brokers.values():
        broker.stop()


@pytest.fixture(name="alerting")
def alert_harness(
    tmp_path: Path, server: Server, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AlertHarness]:
    """Make a harness that sends notices and drafts circulars quickly."""
    monkeypatch.setattr(circulars, "draft", draft_quickly)
    made = AlertHarness(tmp_path / "state", server, brokers)
    yield made
    made.ledger.close()
    forget_publishers()  # each harness has its own topic, and therefore its own connection
