"""The process of a listener: its signals, its heartbeat, and its exit when the supervisor is gone."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Protocol

from gwbatch.clock import Clock
from gwbatch.config.profile import ListenerSettings
from gwbatch.errors import LedgerBusy
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, offsets

log = logging.getLogger(__name__)

BEAT = 2.0  # s between two heartbeats
SUPERVISOR = "GWBATCH_SUPERVISOR"


class Listener(Protocol):
    """What the loop needs from a transport."""

    connected: bool
    note: str | None

    def step(self) -> int:
        """Wait a moment for messages, store them, and return how many there were."""
        ...

    def close(self) -> None:
        """Close the connection cleanly."""
        ...


def make_listener(name: str, settings: ListenerSettings, ledger: Ledger, registry: Registry, clock: Clock) -> Listener:
    """Return the transport that the settings name."""
    if settings.kind == "spool":
        from gwbatch.listeners.spool import SpoolListener

        return SpoolListener(name, settings, ledger, registry, clock)
    from gwbatch.listeners.kafka import KafkaListener

    return KafkaListener(name, settings, ledger, registry, clock)


def run_listener(name: str, listener: Listener, ledger: Ledger, clock: Clock) -> None:
    """Step until SIGTERM or SIGINT, or until the supervisor that started us is gone."""
    asked: list[int] = []  # a plain list, because a signal handler must not take a lock
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _frame: asked.append(signum))
    supervisor = int(os.environ.get(SUPERVISOR, 0))
    started, last_beat, last_message = clock.now(), 0.0, None
    try:
        while not asked:
            if supervisor and os.getppid() != supervisor:
                log.warning("the supervisor is gone; exiting")
                return
            try:
                if listener.step():
                    last_message = clock.now()
                if clock.now() - last_beat >= BEAT:
                    last_beat = clock.now()
                    with ledger.transaction() as tx:
                        offsets.beat(
                            tx, name, os.getpid(), started, last_beat,
                            connected=listener.connected, last_message=last_message, note=listener.note,
                        )  # fmt: skip
            except LedgerBusy as error:
                log.warning("%s", error)
                time.sleep(0.1)
    finally:
        listener.close()
