"""A lane: takes the oldest message, runs its handlers, commits everything that follows in one transaction."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gwbatch.clock import Clock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.dispatcher import backoff
from gwbatch.effects import Effect
from gwbatch.errors import GwbatchError, LeaseLost, LedgerBusy
from gwbatch.faults import mark
from gwbatch.handlers.registry import Context, Handler, Registry, decode
from gwbatch.ledger import Ledger, Transaction, effects, leases, messages
from gwbatch.ledger.messages import Delivery

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 10  # of a handler whose fault is transient
MAX_CRASHES = 3  # of the whole process over one message


class Lane:
    """One lane of messages.

    A serial lane is stepped by one thread; a concurrent one by several, which never take the same message.
    No two dispatchers can both decide: the lease's token is checked inside the deciding transaction.

    Parameters
    ----------
    notes : Path
        Folder for a note of the message at hand, so that one that kills the process is found out.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        registry: Registry,
        policy: Policy,
        profile: Profile,
        lease: leases.Lease,
        clock: Clock,
        notes: Path,
    ) -> None:
        self.name = name
        self._ledger = ledger
        self._registry = registry
        self._policy = policy
        self._profile = profile
        self._lease = lease
        self._clock = clock
        self._notes = notes
        self._taken: set[int] = set()
        self._taking = threading.Lock()
        notes.mkdir(parents=True, exist_ok=True)
        self._blame_last_crash()

    def step(self) -> bool:
        """Handle one message; False when none is due."""
        delivery = self._take()
        if delivery is None:
            return False
        note = self._notes / f"{self.name}.{delivery.id}"
        try:
            note.touch()
            self._handle(delivery)
        finally:
            note.unlink(missing_ok=True)
            with self._taking:
                self._taken.discard(delivery.id)
        return True

    def _take(self) -> Delivery | None:
        with self._taking:
            found = messages.due(self._ledger.connection, self.name, self._clock.now(), len(self._taken) + 1)
            delivery = next((delivery for delivery in found if delivery.id not in self._taken), None)
            if delivery is not None:
                self._taken.add(delivery.id)
            return delivery

    def _handle(self, delivery: Delivery) -> None:
        handlers = [handler for handler in self._registry.for_topic(delivery.topic) if handler.lane == self.name]
        try:
            payload = decode(delivery.topic, delivery.payload)
            if not handlers:
                raise GwbatchError(f"No handler in lane {self.name} wants {delivery.topic} any more.")
        except GwbatchError as error:
            self._settle_failure(delivery, [(None, error)])
            return
        mark(f"lane.{self.name}.decoded")
        early, failures = self._run_plain(handlers, payload, delivery)
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if not messages.is_open(tx, delivery.id):
                return
            for handler in handlers:
                try:
                    self._run_one(tx, handler, payload, delivery, early)
                except (LeaseLost, LedgerBusy):
                    raise
                except Exception as error:
                    failures.append((handler, error))
            if failures:
                self._note_failure(tx, delivery, failures)
            else:
                messages.settle(tx, delivery.id, self._clock.now())
            mark(f"lane.{self.name}.before_commit")
        mark(f"lane.{self.name}.after_commit")

    def _run_plain(
        self, handlers: Sequence[Handler], payload: Any, delivery: Delivery
    ) -> tuple[dict[str, list[Effect]], list[tuple[Handler | None, Exception]]]:
        """Handlers that read no state run before the transaction: a slow one holds up nobody's writes."""
        early: dict[str, list[Effect]] = {}
        failures: list[tuple[Handler | None, Exception]] = []
        for handler in handlers:
            if not handler.wants_context:
                try:
                    early[handler.name] = handler(payload, None)
                except Exception as error:
                    failures.append((handler, error))
        return early, failures

    def _run_one(
        self,
        tx: Transaction,
        handler: Handler,
        payload: Any,
        delivery: Delivery,
        early: dict[str, list[Effect]],
    ) -> None:
        """One handler in a savepoint: what fails takes nothing of the others with it."""
        if not handler.wants_context and handler.name not in early:
            return
        now = self._clock.now()
        tx.execute("SAVEPOINT handler")
        try:
            if messages.first_time(tx, delivery.digest, handler.name, now):
                context = Context(tx, self._policy, self._profile, now, delivery.topic, delivery.message_id)
                wanted = early[handler.name] if handler.name in early else handler(payload, context)
                for effect in wanted:
                    effects.ask_for(tx, effect, now, delivery.message_id)
        except BaseException:
            tx.execute("ROLLBACK TO handler")
            raise
        finally:
            tx.execute("RELEASE handler")

    def _settle_failure(self, delivery: Delivery, failures: list[tuple[Handler | None, Exception]]) -> None:
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            self._note_failure(tx, delivery, failures)

    def _note_failure(
        self, tx: Transaction, delivery: Delivery, failures: list[tuple[Handler | None, Exception]]
    ) -> None:
        reason = "; ".join(
            f"{handler.name}: {in_words(error)}" if handler else in_words(error) for handler, error in failures
        )
        now = self._clock.now()
        if all(_transient(error) for _, error in failures) and delivery.attempts + 1 < MAX_ATTEMPTS:
            wait = backoff.delay(delivery.attempts + 1)
            log.warning(
                "message %d on %s failed (%s), again in %.1f s",
                delivery.message_id,
                delivery.topic,
                reason,
                wait,
            )
            messages.postpone(tx, delivery.id, now + wait, reason)
        else:
            log.error("message %d on %s is a dead letter: %s", delivery.message_id, delivery.topic, reason)
            trace = "\n".join("".join(traceback.format_exception(error)) for _, error in failures)
            messages.bury(tx, delivery.id, reason, trace, now)

    def _blame_last_crash(self) -> None:
        """A message that was at hand when the process died gets a mark; after three it is a dead letter."""
        for note in self._notes.glob(f"{self.name}.*"):
            delivery_id = int(note.suffix[1:])
            with self._ledger.transaction() as tx:
                leases.check(tx, self._lease)
                row = tx.execute("SELECT attempts, state FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
                if row is not None and row["state"] == "new":
                    now, reason = self._clock.now(), "the dispatcher died while handling it"
                    if row["attempts"] + 1 >= MAX_CRASHES:
                        messages.bury(tx, delivery_id, f"{reason}, {MAX_CRASHES} times", None, now)
                    else:
                        messages.postpone(tx, delivery_id, now, reason)
            note.unlink(missing_ok=True)


def in_words(error: Exception) -> str:
    """An exception as a reason for people."""
    return str(error) if isinstance(error, GwbatchError) else f"{type(error).__name__}: {error}"


def _transient(error: Exception) -> bool:
    if isinstance(error, GwbatchError):
        return error.transient
    return isinstance(error, ConnectionError | TimeoutError)
