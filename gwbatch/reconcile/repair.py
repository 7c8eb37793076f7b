"""Repair of differences: effects retry failed writes, and messages replace lost alerts."""

from __future__ import annotations

from collections.abc import Iterable

from gwbatch.executors.registry import retry_dead
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Transaction, effects, messages
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.reconcile.difference import Difference, LostAlert, Remedy

SOURCE = "reconcile"


def repair(tx: Transaction, found: Iterable[Difference], registry: Registry, now: float) -> list[Difference]:
    """Request what makes the ledger and GraceDB agree; return the differences that this can repair."""
    repaired = []
    for one in found:
        if one.remedy is Remedy.WRITE:
            _write_again(tx, one, now)
        elif one.remedy is not Remedy.TAKE_OVER or one.alert is None or not _tell(tx, one.alert, registry, now):
            continue
        repaired.append(one)
    return repaired


def _write_again(tx: Transaction, one: Difference, now: float) -> None:
    if one.ask is not None:
        effects.ask_again(tx, one.ask, now)
    elif not retry_dead(tx, one.effect):
        effects.reopen(tx, one.effect)


def _tell(tx: Transaction, alert: LostAlert, registry: Registry, now: float) -> bool:
    """Queue a lost alert for its usual handlers; return False if it has none.

    GraceDB's current state is newer than any write of ours that is still pending, so stop waiting for those.
    """
    topic = registry.known_topic(alert.topic)
    lanes = registry.lanes_for(topic)
    if not lanes:
        return False
    superevent = SupereventStore(tx).superevent_named(str(alert.payload["uid"]))
    if superevent is not None:
        SupereventStore(tx).set_pending(superevent.key, {})
    messages.send(tx, SOURCE, topic, dict(alert.payload), lanes, now)
    return True
