"""The Kafka listener, for IGWN Alert and GCN, which relies only on the ledger's offsets.

The consumer is assigned to partitions at the stored offsets and never subscribes.  There is no group protocol and no
rebalance, and no crash loses or duplicates a message.  Offsets committed to the broker are only for people to look at.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from gwbatch.brokers import connection_properties
from gwbatch.clock import Clock
from gwbatch.config.profile import ListenerSettings
from gwbatch.errors import TransientError
from gwbatch.failpoints import hit
from gwbatch.handlers.messages import OWN_TOPICS
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, Transaction, messages, offsets
from gwbatch.ledger.messages import Incoming
from gwbatch.ledger.offsets import Position

log = logging.getLogger(__name__)

WAIT = 0.25  # s for the first message of a batch
BATCH = 500  # messages in one transaction
REFRESH = 5.0  # s between checks for new topics and partitions
ADVISE = 5.0  # s between two advisory commits to the broker
PROBED = 4  # new partitions after which a step starts no further topic
TIMEOUT = 5.0  # s for an answer to a metadata request
QUIET = 10.0  # s between log lines about errors of the broker
HEARTBEAT = "gcn.heartbeat"  # a sign of life with one message per second, never stored
SILENCE = 60.0  # s without a heartbeat after which to reconnect

_Place = tuple[str, int]


class KafkaListener:
    """One connection to a Kafka broker."""

    def __init__(self, name: str, settings: ListenerSettings, ledger: Ledger, registry: Registry, clock: Clock) -> None:
        self.connected = False
        self.note: str | None = None
        self._name = name
        self._settings = settings
        self._ledger = ledger
        self._registry = registry
        self._clock = clock
        self._prefix = f"{settings.group}." if settings.kind == "igwn-alert" and settings.group else ""
        self._next: dict[_Place, Position] = {}
        self._awaited: set[str] = set()
        self._heartbeat: float | None = None
        self._refreshed = self._advised = self._complained = float("-inf")
        self._consumer = Consumer(
            {
                **connection_properties(settings),
                "group.id": f"gwbatch-{name}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": 32768,  # bounds the memory, however large the messages are
                "error_cb": self._trouble,
                "logger": logging.getLogger("librdkafka"),
                "log_level": 3,
                **settings.kafka,
            }
        )

    def step(self) -> int:
        now = self._clock.steady()
        if now - self._refreshed >= REFRESH:
            self._refreshed = now
            self._look_for_partitions()
            self._note_ends()
        if self._heartbeat is not None and now - self._heartbeat > SILENCE:
            raise TransientError(f"No message on {HEARTBEAT} for {SILENCE:g} s; reconnecting.")
        if now - self._advised >= ADVISE:
            self._advised = now
            self._advise()
        begun = self._refreshed > float("-inf")  # if not, do not wait, because more partitions are to be assigned
        first = self._consumer.poll(WAIT if begun else 0)
        if first is None:
            return 0
        batch = [first, *self._consumer.consume(BATCH - 1, timeout=0)]
        good = [message for message in batch if not self._is_error(message) and not self._is_heartbeat(message)]
        if good:
            try:
                self._store(good)
            except Exception:
                # Nothing was written. Read the same messages again, or the next batch would skip them.
                self._assign()
                raise
        return len(good)

    def close(self) -> None:
        self._advise()
        self._consumer.close()

    def _store(self, batch: Sequence[Message]) -> None:
        """Store the messages and the next offsets in one transaction."""
        self.connected, self.note = True, None
        moved: dict[_Place, Position] = {}
        hit("listener.received")
        with self._ledger.transaction() as tx:
            now = self._clock.now()
            for message in batch:
                place = (message.topic(), message.partition())
                position = moved.get(place) or self._next.get(place)
                if position is None or message.offset() < position.next_offset:
                    continue  # read before, or from a partition whose position is being looked up again
                self._receive(tx, message, position.epoch, now)
                moved[place] = Position(place[0], place[1], position.epoch, message.offset() + 1)
            for place, position in moved.items():
                offsets.put(tx, self._name, position, now, high_watermark=self._high(place))
            hit("listener.before_commit")
        self._next.update(moved)
        hit("listener.after_commit")

    def _receive(self, tx: Transaction, message: Message, epoch: int, now: float) -> None:
        topic = message.topic().removeprefix(self._prefix)
        payload = message.value() or b""
        kind, stamp = message.timestamp()
        incoming = Incoming(
            self._name,
            topic,
            message.partition(),
            message.offset(),
            payload,
            # A producer's clock may be ahead of ours; that is no reason to refuse its message.
            min(stamp / 1000.0, now) if kind != TIMESTAMP_NOT_AVAILABLE else None,
            epoch,
        )
        messages.receive(tx, incoming, self._registry.lanes_for(topic), now, refused=self._refusal(payload))

    def _refusal(self, payload: bytes) -> str | None:
        limit = self._settings.max_bytes
        return f"payload of {len(payload)} bytes, above the limit of {limit}" if len(payload) > limit else None

    def _look_for_partitions(self) -> None:
        """Assign new partitions, each at its stored position or at its start."""
        wanted = {self._prefix + topic for topic in self._registry.topics() if self._carries(topic)}
        if self._settings.kind == "gcn":
            wanted.add(HEARTBEAT)
        try:
            known = self._consumer.list_topics(timeout=TIMEOUT).topics
            self.connected, self.note = True, None
            self._await(wanted - known.keys() - {HEARTBEAT})
            new = {
                topic: places
                for topic in sorted(wanted & known.keys())
                if (places := [(topic, one) for one in known[topic].partitions if (topic, one) not in self._next])
            }
            taken: list[_Place] = []
            while new and len(taken) < PROBED:  # one topic at a time, because its partitions begin together
                taken += new.pop(next(iter(new)))
            if taken:
                self._begin(taken)
                self._assign()
            if new:
                self._refreshed = float("-inf")  # the others follow in the next step, with a heartbeat in between
        except KafkaException as error:
            self._trouble(error.args[0])

    def _await(self, missing: set[str]) -> None:
        """Record the topics that do not exist yet; when they appear, all messages on them are new."""
        if missing - self._awaited:
            with self._ledger.transaction() as tx:
                offsets.await_topics(tx, self._name, missing - self._awaited, self._clock.now())
            self._awaited |= missing

    def _assign(self) -> None:
        self._consumer.assign([TopicPartition(p.topic, p.partition, p.next_offset) for p in self._next.values()])

    def _carries(self, topic: str) -> bool:
        """Return whether a topic of the handlers can be on this connection."""
        if self._settings.kind == "gcn":
            return topic in self._settings.topics or topic.startswith(("gcn.", "igwn."))
        return not topic.startswith(("gcn.", "igwn.", *OWN_TOPICS))

    def _begin(self, places: Sequence[_Place]) -> None:
        """Record the starting positions before the first message, so that `latest` is resolved only once."""
        stored = offsets.stored(self._ledger.connection, self._name)
        later = {topic for topic, _ in stored} | offsets.awaited(self._ledger.connection, self._name)
        begun = []
        for place in places:
            if place[0] == HEARTBEAT:
                self._heartbeat = self._clock.steady()
                self._next[place] = Position(*place, 0, OFFSET_END)
            else:
                begun.append(self._start_of(place, stored.get(place), place[0] in later))
        with self._ledger.transaction() as tx:
            for position, gap, high in begun:
                offsets.put(tx, self._name, position, self._clock.now(), high_watermark=high, gap=gap)
            offsets.begin_topics(tx, self._name, {place[0] for place in places})
        self._next.update({(position.topic, position.partition): position for position, _, _ in begun})

    def _start_of(self, place: _Place, stored: Position | None, appeared: bool) -> tuple[Position, int, int]:
        """Return the position in a partition, the number of messages lost to retention, and the partition's end."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=TIMEOUT)
        if stored is None:
            # A partition of an awaited or already known topic is new, so it is read from the beginning.
            offset = low if appeared else self._first_offset(place, low, high)
            return Position(*place, 0, offset), 0, high
        if stored.next_offset > high or not self._same_log(stored, low):
            log.warning("%s/%d was recreated (offset %d of %d); reading it anew", *place, stored.next_offset, high)
            return Position(*place, stored.epoch + 1, low), 0, high
        gap = max(0, low - stored.next_offset)
        if gap:
            log.error("%s/%d: %d messages expired before they could be read", *place, gap)
        return Position(*place, stored.epoch, stored.next_offset + gap), gap, high

    def _same_log(self, stored: Position, low: int) -> bool:
        """Return whether the message before our position is the one we stored; a recreated topic may be as long."""
        last = stored.next_offset - 1
        row = messages.digest_at(
            self._ledger.connection,
            self._name,
            stored.topic.removeprefix(self._prefix),
            stored.partition,
            stored.epoch,
            last,
        )
        if row is None or last < low:
            return True
        self._consumer.assign([TopicPartition(stored.topic, stored.partition, last)])
        message = self._consumer.poll(TIMEOUT)
        if message is None or message.error() is not None or message.offset() != last:
            return True  # no answer proves nothing
        return messages.digest(message.value() or b"") == row

    def _first_offset(self, place: _Place, low: int, high: int) -> int:
        start = self._settings.start
        if start in ("earliest", "latest"):
            return low if start == "earliest" else high
        moment = TopicPartition(*place, int(float(start) * 1000))
        (found,) = self._consumer.offsets_for_times([moment], timeout=TIMEOUT)
        return int(found.offset) if found.offset >= 0 else high

    def _note_ends(self) -> None:
        """Record the ends of all partitions, so that the lag of quiet ones stays current."""
        with self._ledger.transaction() as tx:
            for place, position in self._next.items():
                if place[0] != HEARTBEAT and (high := self._high(place)) is not None:
                    offsets.put(tx, self._name, position, self._clock.now(), high_watermark=high)

    def _is_heartbeat(self, message: Message) -> bool:
        if message.topic() != HEARTBEAT:
            return False
        self._heartbeat = self._clock.steady()
        self.connected, self.note = True, None
        return True

    def _high(self, place: _Place) -> int | None:
        marks = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return marks[1] if marks and marks[1] >= 0 else None

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            # Retention overtook us, or the topic was recreated. Look up its current position.
            self._next.pop((message.topic(), message.partition()), None)
            self._refreshed = float("-inf")
        self._trouble(error)
        return True

    def _trouble(self, error: KafkaError) -> None:
        """Log a broker error now and then, not twenty times a second, because librdkafka reconnects by itself."""
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
            self.connected = False
        self.note = error.str()
        if self._clock.steady() - self._complained >= QUIET:
            self._complained = self._clock.steady()
            log.warning("%s: %s", self._name, error.str())

    def _advise(self) -> None:
        offsets = [TopicPartition(*place, p.next_offset) for place, p in self._next.items() if place[0] != HEARTBEAT]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException:
                pass
