"""Lanes, which take the oldest messages, run their handlers and commit all that follows in one transaction."""

from __future__ import annotations

import copy
import logging
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from gwbatch.effects import Effect
from gwbatch.errors import (
    GwbatchError,
    LeaseLost,
    LedgerBusy,
    LedgerUnwritable,
    backoff,
    describe,
    is_transient,
    printable,
)  # fmt: skip
from gwbatch.failpoints import hit
from gwbatch.handlers.context import Context
from gwbatch.handlers.decoding import decode
from gwbatch.handlers.registry import Handler
from gwbatch.ledger import Transaction, effects, leases, messages
from gwbatch.ledger.database import require_transaction
from gwbatch.ledger.messages import Delivery
from gwbatch.runtime import Runtime

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 10  # of a message whose handler fails with a transient error
BATCH = 100  # messages in one commit, during a backlog
LOCKED = 0.2  # s of deciding after which the part of a batch done so far is committed
PATIENCE = 0.02  # s of preparing after which a batch is cut short
MAX_CRASHES = 3  # of the process over one message, which is then a dead letter


@dataclass
class _InProgress:
    """A message on its way through the lane.

    Attributes
    ----------
    stateless_results : dict
        What handlers that read no state returned, by handler.
    failures : list
        Each error with its handler, or with None if no handler had started.
    """

    delivery: Delivery
    handlers: list[Handler] = field(default_factory=list)
    payload: Any = None
    stateless_results: dict[str, list[Effect]] = field(default_factory=dict)
    failures: list[tuple[Handler | None, BaseException]] = field(default_factory=list)


class LaneWorker:
    """One lane of messages.

    One thread steps a serial lane. Several threads step a concurrent one and never take the same message.
    Two dispatchers cannot both decide, because the deciding transaction checks the lease's token.  During a backlog
    several messages share one commit; each has its own savepoints, and none is done before the commit.

    Parameters
    ----------
    notes : Path or None
        Folder that records the messages in progress, to identify one that kills the process; None for a ledger in
        memory, which does not outlive the process.
    live : bool
        Whether messages are handled as they arrive; False in a replay.
    """

    def __init__(self, name: str, runtime: Runtime, notes: Path | None, *, live: bool = True) -> None:
        self.name = name
        self._ledger = runtime.ledger
        self._registry = runtime.registry
        self._policy = runtime.policy
        self._profile = runtime.profile
        self._lease = runtime.lease
        self._clock = runtime.clock
        self._notes = notes
        self._live = live
        self._taken: set[int] = set()
        self._begun: dict[int, float] = {}
        self._taking = threading.Lock()
        if notes is not None:
            notes.mkdir(parents=True, exist_ok=True)
            self._blame_last_crash(notes)

    def step(self) -> bool:
        """Handle the due messages, up to one batch; return False when there are none."""
        taken = self._take()
        if not taken:
            return False
        self._begun[taken[0].id] = self._clock.steady()
        try:
            with self._noted(taken):
                self._handle(taken)
        finally:
            del self._begun[taken[0].id]
            with self._taking:
                self._taken.difference_update(delivery.id for delivery in taken)
        return True

    @contextmanager
    def _noted(self, taken: Sequence[Delivery]) -> Iterator[None]:
        """Record the messages in progress; the record survives if one of them kills the process."""
        if self._notes is None:
            yield
            return
        note = self._notes / f"{self.name}.{taken[0].id}"
        _write_note(note, taken)
        try:
            yield
        except (LeaseLost, LedgerBusy):
            note.unlink(missing_ok=True)  # not the fault of any message
            raise
        note.unlink(missing_ok=True)

    @property
    def busy_for(self) -> float:
        """Seconds for which the oldest batch in progress has been handled."""
        begun = list(self._begun.values())
        return self._clock.steady() - min(begun) if begun else 0.0

    def _take(self) -> list[Delivery]:
        """Take the oldest messages that no other thread handles; one that failed before is handled alone."""
        with self._taking:
            free = messages.next_deliveries(self._ledger.connection, self.name, self._clock.now(), BATCH, self._taken)
            fresh = list(takewhile(lambda delivery: delivery.attempts == delivery.crashes == 0, free))
            taken = fresh or free[:1]
            self._taken.update(delivery.id for delivery in taken)
            return taken

    def _handle(self, taken: Sequence[Delivery]) -> None:
        begun, prepared = self._clock.steady(), []
        for delivery in taken:
            prepared.append(self._prepare(delivery))
            if self._clock.steady() - begun > PATIENCE:
                break  # the rest of the batch is taken again
        hit(f"lane.{self.name}.decoded")
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            begun = self._clock.steady()
            for current in prepared:
                if messages.is_open(tx, current.delivery.id):
                    self._decide(tx, current)
                if self._clock.steady() - begun > LOCKED:
                    break  # no other process can write meanwhile
            hit(f"lane.{self.name}.before_commit")
        hit(f"lane.{self.name}.after_commit")

    def _prepare(self, delivery: Delivery) -> _InProgress:
        """Decode a message and run its handlers that read no state, outside the transaction to block no writer."""
        current = _InProgress(delivery)
        try:
            current.handlers = [h for h in self._registry.for_topic(delivery.topic) if h.lane == self.name]
            if not current.handlers:
                raise GwbatchError(f"No handler in lane {self.name} handles {delivery.topic} any longer.")
            current.payload = decode(delivery.topic, delivery.payload)
        except Exception as error:
            current.failures.append((None, error))
            return current
        for handler in current.handlers:
            if handler.wants_context or messages.was_handled(self._ledger.connection, delivery.digest, handler.name):
                continue
            try:
                current.stateless_results[handler.name] = handler(copy.deepcopy(current.payload), None)
            except (Exception, SystemExit) as error:
                current.failures.append((handler, error))
        return current

    def _decide(self, tx: Transaction, current: _InProgress) -> None:
        if current.payload is not None:
            for handler in current.handlers:
                try:
                    self._run_one(tx, handler, current)
                except (LeaseLost, LedgerBusy):
                    raise
                except (Exception, SystemExit) as error:
                    current.failures.append((handler, error))
        if current.failures:
            self._note_failure(tx, current.delivery, current.failures)
        else:
            messages.mark_done(tx, current.delivery.id, self._clock.now())

    def _run_one(self, tx: Transaction, handler: Handler, current: _InProgress) -> None:
        """Run one handler in a savepoint, so that its failure does not undo the work of the others."""
        if not handler.wants_context and handler.name not in current.stateless_results:
            return
        now, delivery = self._clock.now(), current.delivery
        tx.execute("SAVEPOINT handler")
        try:
            if messages.first_time(tx, delivery.digest, handler.name, now):
                if handler.wants_context:
                    context = Context(
                        tx, self._policy, self._profile, now, delivery.topic, delivery.message_id, self._live
                    )
                    is_last = handler is current.handlers[-1]  # no later handler sees its changes to the payload
                    payload = current.payload if is_last else copy.deepcopy(current.payload)
                    wanted = handler(payload, context)
                else:
                    wanted = current.stateless_results[handler.name]
                for effect in wanted:
                    effects.request(tx, effect, now, delivery.message_id)
        except BaseException as error:
            require_transaction(tx, error)
            tx.execute("ROLLBACK TO handler")
            tx.execute("RELEASE handler")
            raise
        require_transaction(tx)
        tx.execute("RELEASE handler")

    def _note_failure(
        self, tx: Transaction, delivery: Delivery, failures: list[tuple[Handler | None, BaseException]]
    ) -> None:
        reason = "; ".join(
            f"{handler.name}: {describe(error)}" if handler else describe(error) for handler, error in failures
        )
        now = self._clock.now()
        if any(is_transient(error) for _, error in failures) and delivery.attempts + 1 < MAX_ATTEMPTS:
            wait = backoff(delivery.attempts + 1)
            log.warning(
                "message %d on %s failed (%s); retrying in %.1f s", delivery.message_id, delivery.topic, reason, wait
            )
            messages.postpone(tx, delivery.id, now + wait, reason)
        else:
            log.error("message %d on %s is a dead letter: %s", delivery.message_id, delivery.topic, reason)
            trace = "\n".join("".join(traceback.format_exception(error)) for _, error in failures)
            messages.mark_dead(tx, delivery.id, reason, printable(trace), now)

    def _blame_last_crash(self, notes: Path) -> None:
        """Count a crash against each message in progress when the process died; the third makes it a dead letter.

        Such a message is then handled alone, which soon clears the innocent ones of its batch.
        """
        for note in notes.glob(f"{self.name}.*"):
            for delivery_id in map(int, note.read_text().split()):
                self._blame(delivery_id)
            note.unlink(missing_ok=True)

    def _blame(self, delivery_id: int) -> None:
        reason = "the dispatcher died while handling it"
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if messages.count_crash(tx, delivery_id, reason) >= MAX_CRASHES:
                messages.mark_dead(tx, delivery_id, f"{reason}, {MAX_CRASHES} times", None, self._clock.now())


def _write_note(note: Path, taken: Sequence[Delivery]) -> None:
    try:
        note.write_text("\n".join(str(delivery.id) for delivery in taken))
    except OSError as error:
        raise LedgerUnwritable(f"Cannot write {note}: {error.strerror}. Make room or repair the disk.") from error
