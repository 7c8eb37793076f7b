"""The loopback Kafka broker: librdkafka's mock cluster, filled from the outbox.

Its log lives in memory. The outbox is published in order, to one partition per topic, so a restarted sandbox
republishes every alert at the offset it had before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from confluent_kafka import Producer

from gwbatch.sandbox.store import Store

LARGEST = 4_000_000  # bytes of the largest alert

log = logging.getLogger(__name__)


class Broker:
    """A Kafka broker in this process, on a loopback port of its own choice.

    Parameters
    ----------
    group : str
        First part of the topic names.
    topics : iterable of str
        Topics of the group that exist from the start.
    notices : iterable of str
        Topics outside the group that exist from the start, such as GCN's.
    """

    def __init__(self, group: str, topics: Iterable[str], notices: Iterable[str] = ()) -> None:
        self.group = group
        self._producer = Producer({"test.mock.num.brokers": 1, "linger.ms": 0, "message.max.bytes": 2 * LARGEST})
        self._published = 0
        brokers = self._producer.list_topics(timeout=10).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        for topic in (*(f"{group}.{topic}" for topic in topics), *notices):
            self._producer.list_topics(topic=topic, timeout=10)

    def publish(self, store: Store) -> None:
        """Publish the alerts in the outbox that have not been published yet."""
        for seq, topic, payload in store.alerts_after(self._published):
            self._published = seq
            if len(payload) > LARGEST:
                # GraceDB's own broker would reject it too. The request that caused it remains valid.
                log.error("alert %d on %s is too large to be published: %d bytes", seq, topic, len(payload))
                payload = "{}"  # keeps the offsets of the alerts that follow
            self._producer.produce(f"{self.group}.{topic}", payload.encode(), partition=0)
        self._producer.flush(10)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish a message from another sender (a GCN notice, a malformed alert)."""
        self._producer.produce(topic, payload, partition=0)
        self._producer.flush(10)
