"""Whether notices may leave: the operators' switch, which survives restarts and counts before every send."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gwbatch.ledger.database import Transaction

if TYPE_CHECKING:
    from gwbatch.config.alerts import BrokerSettings

STOPPED, ENABLED = "alerts_stopped", "alerts_enabled"


def stop(tx: Transaction, by: str, why: str, now: float) -> None:
    """Let no notice leave from now on."""
    _put(tx, STOPPED, {"by": by, "why": why, "at": now}, now)


def enable(tx: Transaction, by: str, brokers: Iterable[BrokerSettings], now: float) -> None:
    """Let notices leave, to exactly these brokers and topics besides those on this machine."""
    places = sorted(place(broker) for broker in brokers)
    _put(tx, ENABLED, {"by": by, "places": places, "at": now}, now)
    tx.execute("DELETE FROM settings WHERE name = ?", (STOPPED,))


def stopped(tx: Transaction) -> dict[str, Any] | None:
    """Return who stopped the alerts (``by``), ``why`` and when (``at``, Unix s); None while they are not stopped."""
    return _get(tx, STOPPED)


def enabled(tx: Transaction) -> dict[str, Any] | None:
    """Return who enabled the alerts, when, and for which ``places``; None if nobody ever has."""
    return _get(tx, ENABLED)


def obstacle(tx: Transaction, broker: BrokerSettings) -> str | None:
    """Return why no notice may go to a broker at this moment, or None."""
    off = stopped(tx)
    if off is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(off["at"]))
        return f"alerts were stopped by {off['by']} at {moment} UTC" + (f": {off['why']}" if off["why"] else "")
    on = enabled(tx)
    if not broker.is_loopback and (on is None or place(broker) not in on["places"]):
        return f"nobody has enabled alerts to {place(broker)} (gwbatch alerts enable)"
    return None


def place(broker: BrokerSettings) -> str:
    """Name a broker's topic for people: ``kafka.scimma.org:9092/igwn.gwalert``."""
    return f"{broker.address}/{broker.topic}"


def _put(tx: Transaction, name: str, value: dict[str, Any], now: float) -> None:
    tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (name, json.dumps(value), now))


def _get(tx: Transaction, name: str) -> dict[str, Any] | None:
    row = tx.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else dict(json.loads(row["value"]))
