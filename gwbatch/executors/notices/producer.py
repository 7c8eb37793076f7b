"""Kafka for notices: one idempotent producer per broker, and a search for messages that are already on the topic."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import confluent_kafka.admin  # noqa: F401  the first metadata request imports it, which fails in two threads at once
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from gwbatch.brokers import connection_properties
from gwbatch.config.alerts import BrokerSettings
from gwbatch.errors import TransientError

POLL = 0.01  # s; several threads serve one producer's delivery reports, each waiting for its own
ANSWER = 10.0  # s for an answer to a metadata request
TOO_LONG_AGO = 30.0  # s without any message after which reading back counts as failed
LAST = 50  # messages to search if a broker cannot tell which are recent
CLOCKS = 60.0  # s by which the clock of a broker may differ from ours
AFTER_ANOTHER = 1.0  # s before retrying a notice that found another one waiting


@dataclass(frozen=True)
class Delivered:
    """The position of a message on a broker's topic."""

    partition: int
    offset: int


class Publisher:
    """The connection to one broker, which sends messages and finds them again.

    Parameters
    ----------
    name : str
        Its name in the site profile.
    """

    def __init__(self, name: str, settings: BrokerSettings) -> None:
        self._name = name
        self._settings = settings
        self._answer = min(ANSWER, settings.delivery_timeout)
        self._lock = threading.Lock()
        self._ailing = False
        self._probing = threading.Lock()
        self._partitions = 0
        common = {
            **connection_properties(settings, "producer"),
            "logger": logging.getLogger("librdkafka"),
            "log_level": 3,
            **settings.kafka,
        }
        self._common = common
        self._producer = Producer(
            {
                **common,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "socket.nagle.disable": True,  # not always the default; without it, a large map took 40 ms more
                "compression.type": common.get("compression.type", "zstd"),
                "message.max.bytes": settings.max_bytes + 100_000,
                "message.timeout.ms": int(settings.delivery_timeout * 1000),
            }
        )
        self._consumer: Consumer | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let only one notice at a time wait for a broker that does not answer, so that workers stay free.

        Raises
        ------
        TransientError
            If the broker did not answer last time, and another notice is already waiting for it.
        """
        if not self._ailing:
            with self._noting_how_it_goes():
                yield
        elif self._probing.acquire(blocking=False):
            try:
                with self._noting_how_it_goes():
                    yield
            finally:
                self._probing.release()
        else:
            waiting = TransientError(f"The broker {self._name} does not answer; another notice is already waiting.")
            waiting.retry_after = AFTER_ANOTHER
            raise waiting

    @contextmanager
    def _noting_how_it_goes(self) -> Iterator[None]:
        try:
            yield
        except TransientError:
            self._ailing = True
            raise
        self._ailing = False

    def partition_of(self, key: str) -> int:
        """Return the partition of a key, which stays the same as long as the number of partitions does."""
        if not self._partitions:
            try:
                found = self._producer.list_topics(self._settings.topic, timeout=self._answer).topics[
                    self._settings.topic
                ]
            except KafkaException as error:
                raise self._trouble("list its topics", error.args[0]) from error
            if found.error is not None:
                raise self._trouble(f"describe {self._settings.topic}", found.error)
            self._partitions = len(found.partitions)
        return zlib.crc32(key.encode()) % self._partitions

    def end_of(self, partition: int) -> int:
        """Return the offset that the next message of a partition will get."""
        with self._lock:
            try:
                place = TopicPartition(self._settings.topic, partition)
                return int(self._reader().get_watermark_offsets(place, timeout=self._answer)[1])
            except KafkaException as error:
                raise self._trouble("report where the topic ends", error.args[0]) from error

    def offset_at(self, partition: int, time: float) -> int:
        """Return the offset of the first message of a partition since a time (Unix s).

        The broker's clock may be a minute ahead or behind. If there is no such message, or the broker cannot tell, the
        result is the offset of the last fifty messages.
        """
        with self._lock:
            try:
                moment = TopicPartition(self._settings.topic, partition, int((time - CLOCKS) * 1000))
                (found,) = self._reader().offsets_for_times([moment], timeout=self._answer)
            except KafkaException as error:
                raise self._trouble("report offsets by time", error.args[0]) from error
        return int(found.offset) if found.offset >= 0 else max(0, self.end_of(partition) - LAST)

    def send(self, key: str, body: bytes, headers: dict[str, bytes], partition: int) -> Delivered:
        """Send a message and wait until the broker confirms it.

        Raises
        ------
        TransientError
            If it is not confirmed in time. The broker may or may not have it.
        """
        reports: list[tuple[KafkaError | None, Message]] = []
        try:
            self._producer.produce(
                self._settings.topic, body, key=key.encode(), headers=list(headers.items()), partition=partition,
                on_delivery=lambda error, message: reports.append((error, message)),
            )  # fmt: skip
        except (KafkaException, BufferError) as error:
            raise TransientError(
                f"Cannot hand the notice to the broker {self._name}: {error}. Trying again."
            ) from error
        end = time.monotonic() + self._settings.delivery_timeout + self._answer
        while not reports and time.monotonic() < end:
            self._producer.poll(POLL)
        if not reports:
            raise TransientError(f"The broker {self._name} has not confirmed the notice; looking for it on the topic.")
        failure, message = reports[0]
        if failure is not None:
            raise self._trouble("confirm the notice", failure)
        return Delivered(message.partition(), message.offset())

    def find(self, partition: int, begin: int, is_it: Callable[[Message], bool]) -> Delivered | None:
        """Search for a message between an offset and the current end of a partition.

        Raises
        ------
        TransientError
            If the broker does not answer.
        """
        topic = self._settings.topic
        with self._lock:
            reader = self._reader()
            try:
                low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=self._answer)
                position = max(low, begin)
                if position >= high:
                    return None
                reader.assign([TopicPartition(topic, partition, position)])
                return self._scan(reader, high, is_it)
            except KafkaException as error:
                raise self._trouble("return messages from the topic", error.args[0]) from error
            finally:
                reader.unassign()

    def _scan(self, reader: Consumer, high: int, is_it: Callable[[Message], bool]) -> Delivered | None:
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < TOO_LONG_AGO:
            message = reader.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                raise self._trouble("return messages from the topic", message.error())
            quiet_since = time.monotonic()
            if is_it(message):
                return Delivered(message.partition(), message.offset())
            if message.offset() >= high - 1:
                return None
        raise TransientError(f"The broker {self._name} does not return messages from {topic_of(self._settings)}.")

    def _reader(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(
                {
                    **{key: value for key, value in self._common.items() if not key.startswith("compression")},
                    "group.id": "gwbatch-notices",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "allow.auto.create.topics": False,
                    "fetch.message.max.bytes": self._settings.max_bytes + 100_000,
                }
            )
        return self._consumer

    def _trouble(self, what: str, error: KafkaError) -> TransientError:
        return TransientError(f"The broker {self._name} does not {what}: {error.str()}. Trying again.")


def topic_of(settings: BrokerSettings) -> str:
    """Return the topic and its broker for display."""
    return f"{settings.topic} of {settings.address}"


_publishers: dict[tuple[str, str], Publisher] = {}
_making = threading.Lock()


def publisher(name: str, settings: BrokerSettings) -> Publisher:
    """Return the publisher of a broker; its connection stays open until `forget_publishers`."""
    key = (name, repr(settings))
    with _making:
        if key not in _publishers:
            _publishers[key] = Publisher(name, settings)
        return _publishers[key]


def forget_publishers() -> None:
    """Drop all connections; the next notice opens new ones."""
    with _making:
        _publishers.clear()
