"""Delivery of frozen notices to brokers: always the same bytes, with a search of the topic if delivery is in doubt."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gwbatch.alerts import kind_named
from gwbatch.config.alerts import BrokerSettings
from gwbatch.config.profile import Profile
from gwbatch.effects.notices import LabelSent, PublishNotice, StoreNotice, UploadNotice
from gwbatch.errors import BadInput, GwbatchError
from gwbatch.executors.notices.fixing import schedule_second
from gwbatch.executors.notices.producer import Delivered, Publisher, publisher
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.ledger import Transaction, alert_switch, effects, leases
from gwbatch.ledger.restored import taken_before
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice, Send
from gwbatch.runtime import Runtime


def connect(profile: Profile) -> None:
    """Connect to the brokers early, because an idempotent producer may need half a second before its first message."""
    for name, settings in profile.alerts.brokers.items():
        with suppress(GwbatchError):  # the first notice will report it
            publisher(name, settings).partition_of("")


@executor(PublishNotice)
def publish(claim: Claim[PublishNotice], runtime: Runtime) -> EffectResult:
    """Send a notice to one broker, unless it is already on the topic."""
    effect, connection = claim.effect, runtime.ledger.connection
    notice = public_notices.get(connection, effect.notice)
    send = public_notices.send(connection, effect.notice, effect.broker)
    if notice is None or send is None or send.state in ("delivered", "withheld"):
        return EffectResult.skipped("already delivered or withheld")
    settings = runtime.profile.alerts.brokers.get(effect.broker)
    if settings is None:
        return _withheld(f"the site profile no longer has a broker {effect.broker}", send)
    body = public_notices.body(connection, notice.id, send.form, send.variant)
    if body is None:
        raise BadInput(f"Cannot send the notice {effect.name} about {effect.superevent}: its content is gone.")
    if not send.tries:
        reason = _obstacle(connection, notice, settings, effect.broker)
        if reason is not None:
            return _withheld(reason, send)
    broker = publisher(effect.broker, settings)
    with broker.turn():
        place = _find(broker, notice, send, body, settings, taken_before(connection, runtime.clock.now()))
        found = place is not None
        if place is None:
            reason = _obstacle(connection, notice, settings, effect.broker)
            if reason is not None:
                return _withheld(reason, send)
            place = _send(broker, notice, send, body, settings, runtime)

    def commit(tx: Transaction) -> None:
        now = runtime.clock.now()
        if public_notices.delivered(tx, notice.id, effect.broker, place.partition, place.offset, now):
            _follow_up(tx, notice, now, runtime)

    return EffectResult(
        {"partition": place.partition, "offset": place.offset, "bytes": len(body), "found": found}, commit
    )  # fmt: skip


def _withheld(reason: str, send: Send) -> EffectResult:
    """Withhold the notice from the broker until somebody orders it."""
    return EffectResult(
        {"withheld": reason}, lambda tx: public_notices.withhold(tx, send.notice, send.broker, reason)
    )  # fmt: skip


def _obstacle(connection: Any, notice: PublicNotice, settings: BrokerSettings, name: str) -> str | None:
    """Return why a notice must not be sent at the moment, or None."""
    if notice.category not in settings.categories:
        return f"the broker {name} is only for {', '.join(settings.categories)} superevents"
    return alert_switch.obstacle(connection, settings)


def _find(
    broker: Publisher, notice: PublicNotice, send: Send, body: bytes, settings: BrokerSettings, taken: float | None
) -> Delivered | None:
    """Return the position of the notice on the topic if an earlier attempt delivered it, or None.

    Parameters
    ----------
    taken : float or None
        When the backup was taken (Unix s) that the ledger was restored from, which lacks everything since then.
    """
    if not settings.read_back:
        return None
    if send.tries and send.partition is not None and send.mark is not None:
        return broker.find(send.partition, send.mark, _recognise(notice, body))
    if taken is None:
        return None
    partition = broker.partition_of(_key(notice))
    return broker.find(partition, broker.offset_at(partition, taken), _recognise(notice, body))


def _key(notice: PublicNotice) -> str:
    """Return the message key. All notices about a superevent share it, so they stay in order on one partition."""
    return str((notice.record or {})["superevent_id"])


def _send(
    broker: Publisher, notice: PublicNotice, send: Send, body: bytes, settings: BrokerSettings, runtime: Runtime
) -> Delivered:
    """Record the partition and where to search it later, send the notice, and return its position."""
    key = _key(notice)
    partition = broker.partition_of(key) if send.partition is None else send.partition
    mark = broker.end_of(partition) if send.mark is None and settings.read_back else send.mark or 0
    with runtime.ledger.transaction() as tx:
        leases.check(tx, runtime.lease)
        public_notices.begin_send(tx, notice.id, send.broker, partition, mark)
    hit("notice.before_send")
    place = broker.send(key, body, headers_of(notice, send.form, settings), partition)
    hit("notice.after_send")
    return place


def headers_of(notice: PublicNotice, form: str, settings: BrokerSettings) -> dict[str, bytes]:
    """Return the headers of a notice: its identity and, in the form that SCiMMA's clients use, format and test flag."""
    headers = {"_id": uuid.UUID(str(notice.uid)).bytes}
    if form == "avro":
        headers["_format"] = b"avro"
    if settings.test:
        headers["_test"] = b"true"
    return headers


def _recognise(notice: PublicNotice, body: bytes) -> Callable[[Any], bool]:
    """Return a function that recognizes our message by its identity or its exact bytes."""
    identity = uuid.UUID(str(notice.uid)).bytes

    def is_it(message: Any) -> bool:
        headers = dict(message.headers() or ())
        return bool(headers.get("_id") == identity or message.value() == body)

    return is_it


def _follow_up(tx: Transaction, notice: PublicNotice, now: float, runtime: Runtime) -> None:
    """Request what follows once the first broker has a notice."""
    key, kind = notice.superevent, kind_named(notice.kind)
    store = StoreNotice(key, notice.id, notice.name)
    effects.request(tx, store, now)
    if kind.sent_label is not None:
        effects.request(tx, LabelSent(key, notice.id, notice.name, kind.sent_label, after=store.key), now)
    for form in dict.fromkeys(["json", *(send.form for send in public_notices.sends(tx, notice.id))]):
        effects.request(tx, UploadNotice(key, notice.id, notice.name, form), now)
    schedule_second(tx, notice, now, runtime)
