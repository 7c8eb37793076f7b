"""The Kafka check: whether the brokers of our listeners and notices answer and accept our credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from gwbatch.brokers import Connection, connection_properties
from gwbatch.checks.base import Place, check
from gwbatch.errors import ConfigError
from gwbatch.reports.finding import Finding, Level

PATIENCE = 10.0  # s for an answer


@check("brokers", every=300.0)
def brokers(place: Place) -> Iterator[Finding]:
    """Ask each broker which topics it has."""
    for name, listener in place.profile.listeners.items():
        if listener.enabled and listener.kind != "spool":
            yield from _ask(f"broker of the listener {name}", listener, [])
    if place.profile.alerts.mode != "off":
        for name, broker in place.profile.alerts.brokers.items():
            yield from _ask(f"broker {name}", broker, [broker.topic])


def _ask(what: str, settings: Connection, wanted: list[str]) -> Iterator[Finding]:
    from confluent_kafka import Consumer, KafkaException

    complaints: list[str] = []
    own: dict[str, Any] = {
        "group.id": "gwbatch-check",
        "allow.auto.create.topics": False,
        "error_cb": lambda error: complaints.append(str(error)),
        "logger": logging.getLogger("librdkafka"),
        "log_level": 0,  # librdkafka would repeat a refused connection ten times a second; `error_cb` hears of it too
    }
    try:
        properties = connection_properties(settings)
    except ConfigError as error:
        yield Finding(Level.CRITICAL, what, f"cannot query the {what}: {error}", "see docs/operations.md, Credentials")
        return
    where = properties["bootstrap.servers"]
    consumer = Consumer({**properties, **own})
    try:
        topics = consumer.list_topics(timeout=PATIENCE).topics
    except KafkaException as error:
        text = f"the {what} ({where}) does not answer: {complaints[-1] if complaints else error}"
        remedy = "check whether others can reach it, then this host's firewall and DNS, then our credentials"
        yield Finding(Level.CRITICAL, what, text, remedy)
        return
    finally:
        consumer.close()
    missing = [topic for topic in wanted if topic not in topics]
    if missing:
        text = f"the {what} ({where}) has no topic {', '.join(missing)}, or does not let us see it"
        yield Finding(Level.WARNING, what, text, "ask the broker's operators for write permission")
    else:
        yield Finding(Level.OK, what, f"the {what} ({where}) answered; it shows {len(topics)} topics")
