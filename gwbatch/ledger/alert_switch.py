"""The operators' switch for sending notices, which survives restarts and is checked before every send."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gwbatch.ledger import settings
from gwbatch.ledger.database import Transaction

if TYPE_CHECKING:
    from gwbatch.config.alerts import BrokerSettings

STOPPED, ENABLED = "alerts_stopped", "alerts_enabled"


def stop(tx: Transaction, by: str, why: str, now: float) -> None:
    """Stop the sending of all notices."""
    settings.put(tx, STOPPED, {"by": by, "why": why, "at": now}, now)


def enable(tx: Transaction, by: str, brokers: Iterable[BrokerSettings], now: float) -> None:
    """Allow notices to be sent to exactly these brokers and topics, besides those on this machine."""
    places = sorted(place(broker) for broker in brokers)
    settings.put(tx, ENABLED, {"by": by, "places": places, "at": now}, now)
    settings.forget(tx, STOPPED)


def stopped(tx: Transaction) -> dict[str, Any] | None:
    """Return who stopped the alerts (``by``), ``why`` and when (``at``, Unix s); None while they are not stopped."""
    found: dict[str, Any] | None = settings.get(tx, STOPPED)
    return found


def enabled(tx: Transaction) -> dict[str, Any] | None:
    """Return who enabled the alerts, when, and for which ``places``; None if nobody ever has."""
    found: dict[str, Any] | None = settings.get(tx, ENABLED)
    return found


def obstacle(tx: Transaction, broker: BrokerSettings) -> str | None:
    """Return why no notice may go to a broker now; None if notices may."""
    off = stopped(tx)
    if off is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(off["at"]))
        return f"alerts were stopped by {off['by']} at {moment} UTC" + (f": {off['why']}" if off["why"] else "")
    on = enabled(tx)
    if not broker.is_loopback and (on is None or place(broker) not in on["places"]):
        return f"nobody has enabled alerts to {place(broker)} (gwbatch alerts enable)"
    return None


def place(broker: BrokerSettings) -> str:
    """Return a readable name of a broker's topic: ``kafka.scimma.org:9092/igwn.gwalert``."""
    return f"{broker.address}/{broker.topic}"
