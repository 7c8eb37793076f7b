"""Latency of single messages from the broker to the decision, compared with floors, and rate under a backlog.

The floor of *durable* is a bare confluent-kafka consumer that commits the same row to SQLite on the same disk.
The floor of *decided* is the same with one more commit.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from gwbatch.clock import SystemClock
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import ListenerSettings, Profile
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.handlers import igwn_alert
from gwbatch.handlers.context import Context
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, leases, messages, offsets
from gwbatch.ledger.messages import Incoming
from gwbatch.ledger.offsets import Position
from gwbatch.listeners.kafka import KafkaListener
from gwbatch.runtime import Runtime

SINGLE = 300
BACKLOG = 100_000
FETCH = {"fetch.wait.max.ms": 10}  # the mock broker answers a waiting fetch only when it times out

BROKER = """
import sys, time
from gwbatch.sandbox.broker import Broker
broker = Broker("gracedb", ["cbc_one", "cbc_floor"])
print(broker.bootstrap, flush=True)
sys.stdin.read()
"""


def payload(number: int) -> bytes:
    """Return an alert of under 200 bytes, because the mock broker keeps only about 5 MB per partition."""
    return json.dumps(
        {"uid": f"G{number}", "alert_type": "new", "object": {"graceid": f"G{number}", "filler": "x" * 80}}
    ).encode()


def row(name: str, values: list[float]) -> tuple[str, float, float, float]:
    """Return the name and the 50th, 95th and 99th percentiles in ms."""
    cuts = statistics.quantiles(values, n=100)
    return name, cuts[49] * 1e3, cuts[94] * 1e3, cuts[98] * 1e3


def timed(producer: Producer, topic: str, receive: Callable[[], None]) -> list[float]:
    """Return the seconds from publishing to the end of `receive`, for single messages."""
    times = []
    for number in range(SINGLE):
        time.sleep(0.003)
        begin = time.perf_counter()
        producer.produce(topic, payload(number), partition=0)
        producer.flush()
        receive()
        times.append(time.perf_counter() - begin)
    return times


def bare(folder: Path, bootstrap: str, producer: Producer, commits: int) -> list[float]:
    """Time a consumer with SQLite and nothing else."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "floor", **FETCH})
    consumer.assign(
        [
            TopicPartition(
                "gracedb.cbc_floor", 0, consumer.get_watermark_offsets(TopicPartition("gracedb.cbc_floor", 0))[1]
            )
        ]
    )
    database = sqlite3.connect(folder / f"floor{commits}.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE m (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB, received REAL)")

    def receive() -> None:
        while (message := consumer.poll(1.0)) is None:
            pass
        for _ in range(commits):
            database.execute(
                "INSERT INTO m (topic, payload, received) VALUES (?, ?, ?)", ("t", message.value(), time.time())
            )

    receive_once = timed(producer, "gracedb.cbc_floor", receive)
    consumer.close()
    return receive_once


def listener_on(ledger: Ledger, bootstrap: str) -> KafkaListener:
    """Return our listener on the broker."""
    settings = ListenerSettings(bootstrap=bootstrap, group="gracedb", start="earliest", kafka=dict(FETCH))
    return KafkaListener("igwn-alert", settings, ledger, Registry.build(load_policy(), Profile()), SystemClock())


def lane_on(ledger: Ledger, folder: Path) -> LaneWorker:
    """Return the worker of a serial lane."""
    with ledger.transaction() as tx:
        lease = leases.acquire(tx, "dispatcher", time.time())

    def refuse() -> Any:
        raise AssertionError("a lane needs neither a batch system nor GraceDB")

    policy, profile = load_policy(), Profile()
    registry = Registry.build(policy, profile)
    runtime = Runtime(ledger, registry, policy, profile, folder, SystemClock(), lease, refuse, refuse)
    return LaneWorker("superevent", runtime, folder / "notes")


def main() -> None:
    """Print two tables, and the rates under a backlog."""
    igwn_alert.handler("cbc_one", queue="superevent")(decide)
    broker = subprocess.Popen(
        [sys.executable, "-c", BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert broker.stdout is not None
    bootstrap = broker.stdout.readline().decode().strip()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commits(folder)
        singles(folder, bootstrap, producer)
        backlog(folder, bootstrap, producer)
    broker.kill()
    broker.communicate()


def decide(alert: dict[str, object], context: Context) -> None:
    """Handle an alert by doing nothing."""


def commits(folder: Path) -> None:
    """Compare the transaction alone with a bare commit of the same row."""
    database = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        database.execute(f"PRAGMA {pragma}")
    database.execute("CREATE TABLE m (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB, received REAL)")
    ledger = Ledger(folder / "commits.sqlite", create=True)
    ours, floor = [], []
    for number in range(SINGLE):
        value = payload(number)
        begin = time.perf_counter()
        database.execute("INSERT INTO m (topic, payload, received) VALUES (?, ?, ?)", ("t", value, time.time()))
        middle = time.perf_counter()
        with ledger.transaction() as tx:
            messages.receive(tx, Incoming("k", "t", 0, number, value), ["superevent"], time.time())
            offsets.put(tx, "k", Position("t", 0, 0, number + 1), time.time())
        ours.append(time.perf_counter() - middle)
        floor.append(middle - begin)
    ledger.close()
    print(f"{'commit alone, ms':32} {'p50':>8} {'p95':>8} {'p99':>8} {'p50 / floor':>12}")
    name, *cuts = row("floor: bare SQLite", floor)
    print(f"{name:32} {cuts[0]:8.3f} {cuts[1]:8.3f} {cuts[2]:8.3f}")
    name, *mine = row("message, delivery and position", ours)
    print(f"{name:32} {mine[0]:8.3f} {mine[1]:8.3f} {mine[2]:8.3f} {mine[0] / cuts[0]:12.2f}")


def singles(folder: Path, bootstrap: str, producer: Producer) -> None:
    """Measure the latency of single messages."""
    ledger = Ledger(folder / "ledger.sqlite", create=True)
    listener, lane = listener_on(ledger, bootstrap), lane_on(ledger, folder)
    listener.step()

    def durable() -> None:
        while not listener.step():
            pass

    def decided() -> None:
        durable()
        while not lane.step():
            pass

    rows = [
        row("floor: consumer + 1 commit", bare(folder, bootstrap, producer, 1)),
        row("published to durable", timed(producer, "gracedb.cbc_one", durable)),
        row("floor: consumer + 2 commits", bare(folder, bootstrap, producer, 2)),
    ]
    while lane.step():
        pass
    rows.append(row("published to decided", timed(producer, "gracedb.cbc_one", decided)))
    print(f"{'single message, ms':32} {'p50':>8} {'p95':>8} {'p99':>8} {'p50 / floor':>12}")
    for number, (name, *cuts) in enumerate(rows):
        ratio = f"{cuts[0] / rows[number - 1][1]:12.2f}" if number % 2 else f"{'':12}"
        print(f"{name:32} {cuts[0]:8.2f} {cuts[1]:8.2f} {cuts[2]:8.2f} {ratio}")
    listener.close()
    ledger.close()


def backlog(folder: Path, bootstrap: str, producer: Producer) -> None:
    """Measure the rate under a backlog of messages that arrived while the listener was down."""
    for number in range(BACKLOG):
        producer.produce("gracedb.cbc_one", payload(number), partition=number % 4)
        if number % 2000 == 0:
            producer.flush()
    producer.flush()
    ledger = Ledger(folder / "backlog.sqlite", create=True)
    listener, lane = listener_on(ledger, bootstrap), lane_on(ledger, folder)
    begin = time.perf_counter()
    count = 0
    quiet = 0
    while quiet < 3:
        got = listener.step()
        count += got
        quiet = 0 if got else quiet + 1
        if got:
            last = time.perf_counter()
    received = count / (last - begin)
    begin = time.perf_counter()
    while lane.step():
        pass
    decided = count / (time.perf_counter() - begin)
    print(f"backlog of {count} alerts: {received:.0f} alerts/s durable,")
    print(f"then {decided:.0f} alerts/s decided in one serial lane")
    listener.close()
    ledger.close()


if __name__ == "__main__":
    main()
