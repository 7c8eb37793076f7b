"""Field-by-field comparison of our notices with those on a topic, which is the purpose of a dry run."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from gwbatch.alerts.encoding import decode_avro, with_maps
from gwbatch.brokers import connection_properties
from gwbatch.config.alerts import BrokerSettings
from gwbatch.errors import TransientError
from gwbatch.ledger import Ledger
from gwbatch.mirror import public_notices

ANSWER = 10.0  # s for an answer from the broker
PATIENCE = 30.0  # s without a message after which reading ends early
NOT_COMPARED = {"time_created"}
TOLERANCE = 1e-6  # relative, for numbers

Notice = dict[str, Any]
Flat = dict[str, Any]


def compare(ledger: Ledger, settings: BrokerSettings, since: float) -> list[dict[str, Any]]:
    """Return one row for each notice since a Unix time (s), in the ledger or on the topic.

    Returns
    -------
    list of dict
        ``superevent_id``, ``what`` (type and number among those of that type), ``verdict`` (``same``, ``different``,
        ``only here`` or ``only on the topic``) and ``differences`` (name of the field to our value and theirs).
    """
    ours, theirs = (
        _by_identity(public_notices.records_since(ledger.connection, since)),
        _by_identity(_theirs(settings, since)),
    )
    rows = []
    for identity in sorted({*ours, *theirs}):
        superevent_id, alert_type, number = identity
        one, other = ours.get(identity), theirs.get(identity)
        verdict, differences = "only here" if other is None else "only on the topic", {}
        if one is not None and other is not None:
            differences = differing(one, other)
            verdict = "different" if differences else "same"
        what = f"{alert_type} {number}"
        rows.append({"superevent_id": superevent_id, "what": what, "verdict": verdict, "differences": differences})
    return rows


def differing(ours: Notice, theirs: Notice) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ, by their dotted names, each with our value and theirs."""
    one, other = dict(_flat(ours)), dict(_flat(theirs))
    return {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if name not in NOT_COMPARED and not _alike(one.get(name), other.get(name))
    }


def _alike(one: Any, other: Any) -> bool:
    numbers = [value for value in (one, other) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == 2:
        return abs(numbers[0] - numbers[1]) <= TOLERANCE * max(abs(number) for number in numbers)
    return bool(one == other)


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for name, one in value.items() for pair in _flat(one, f"{prefix}{name}.")]
    if isinstance(value, list) and value and not isinstance(value[0], str):
        return [pair for number, one in enumerate(value) for pair in _flat(one, f"{prefix}{number}.")]
    return [(prefix.rstrip("."), value)]


def _by_identity(notices: list[Notice]) -> dict[tuple[str, str, int], Notice]:
    """Return notices by superevent, type and number among those of that type, in order of creation."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    found = {}
    for notice in sorted(notices, key=lambda one: str(one.get("time_created"))):
        what = (str(notice.get("superevent_id")), str(notice.get("alert_type")))
        counts[what] += 1
        found[*what, counts[what]] = notice
    return found


def published(settings: BrokerSettings, since: float) -> list[tuple[str, str]]:
    """Return superevent and type of every notice on a topic since a Unix time (s)."""
    return [(str(one.get("superevent_id")), str(one.get("alert_type"))) for one in _theirs(settings, since)]


def _theirs(settings: BrokerSettings, since: float) -> list[Notice]:
    """Read the notices on the topic since a Unix time (s), with maps replaced by their sizes in bytes."""
    consumer = Consumer(
        {
            **connection_properties(settings),
            "group.id": "gwbatch-compare",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **{name: value for name, value in settings.kafka.items() if not name.startswith("compression")},
        }
    )
    found: list[Notice] = []
    try:
        for partition in consumer.list_topics(settings.topic, timeout=ANSWER).topics[settings.topic].partitions:
            found += _partition(consumer, settings.topic, partition, since)
    except KafkaException as error:
        raise TransientError(f"Cannot read {settings.topic} of {settings.address}: {error.args[0].str()}.") from error
    finally:
        consumer.close()
    return found


def _partition(consumer: Consumer, topic: str, partition: int, since: float) -> list[Notice]:
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER)
    if low >= high:
        return []
    consumer.assign([TopicPartition(topic, partition, low)])
    found, quiet_since = [], time.monotonic()
    while low < high and time.monotonic() - quiet_since < PATIENCE:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is not None:
            raise KafkaException(message.error())
        quiet_since, low = time.monotonic(), message.offset() + 1
        if message.timestamp()[1] / 1000.0 >= since:
            notice = read_notice(message.value())
            if notice is not None:
                found.append(notice)
    return found


def read_notice(content: bytes) -> Notice | None:
    """Decode a notice in either form, with maps replaced by their sizes in bytes; return None if it is not one."""
    try:
        if content.startswith(b"Obj\x01"):
            return with_maps(decode_avro(content), len)
        value = json.loads(content)
        return with_maps(value, lambda text: len(text) * 3 // 4 - text.count("=")) if isinstance(value, dict) else None
    except Exception:  # somebody else's message, and not a notice
        return None
