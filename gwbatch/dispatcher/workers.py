"""Effect workers, which claim an effect, execute it and record its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from gwbatch.effects import KINDS
from gwbatch.errors import GwbatchError, LeaseLost, LedgerBusy, backoff, describe, is_transient
from gwbatch.executors.registry import EffectResult, execute, on_dead
from gwbatch.failpoints import hit
from gwbatch.ledger import Transaction, effects, leases
from gwbatch.ledger.database import require_transaction
from gwbatch.ledger.effects import Claimed
from gwbatch.runtime import Runtime

log = logging.getLogger(__name__)


class EffectWorker:
    """Executes effects, one at a time; several workers share a ledger.

    A claim is committed before the effect begins, so that after a crash its outcome is known to be uncertain.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._ledger = runtime.ledger
        self._lease = runtime.lease
        self._clock = runtime.clock

    def step(self) -> bool:
        """Execute one effect; return False when none may run now."""
        if effects.next_one(self._ledger.connection, self._clock.now()) is None:
            return False
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            claimed = effects.claim(tx, self._lease.token, self._clock.now())
        if claimed is None:
            return False
        hit("effect.claimed")
        try:
            result = execute(claimed, self._runtime)
        except (Exception, SystemExit) as error:
            self._write_down(partial(self._failed, claimed=claimed, error=error))
            return True
        hit("effect.before_done")
        try:
            self._write_down(partial(self._succeeded, claimed=claimed, result=result))
        except LeaseLost:
            raise
        except (Exception, SystemExit) as error:
            self._write_down(partial(self._failed, claimed=claimed, error=error))
        hit("effect.after_done")
        return True

    def _write_down(self, write: Callable[[Transaction], None]) -> None:
        """Record the outcome of an effect, retrying while the ledger is busy, so that no claim is forgotten."""
        while True:
            try:
                with self._ledger.transaction() as tx:
                    leases.check(tx, self._lease)
                    write(tx)
                return
            except LedgerBusy as error:
                log.warning("%s", error)
                self._clock.sleep(0.2)

    def _succeeded(self, tx: Transaction, claimed: Claimed, result: EffectResult) -> None:
        if result.commit is not None:
            result.commit(tx)
        effects.done(tx, claimed, result.detail, self._clock.now())

    def _failed(self, tx: Transaction, claimed: Claimed, error: BaseException) -> None:
        reason, now = describe(error), self._clock.now()
        kind = KINDS.get(claimed.kind)  # an effect of an unknown kind fails permanently
        unexpected = not isinstance(error, GwbatchError | SystemExit)
        if kind is not None and (is_transient(error) or (kind.stubborn and unexpected)):
            longest = kind.max_delay
            wait = getattr(error, "retry_after", None) or backoff(claimed.attempts, longest=longest)
            expected = getattr(error, "expected", None)
            level = logging.DEBUG if expected is not None and now < expected else logging.WARNING
            words = "effect %s: %s (try %d, again in %.1f s)"
            log.log(level, words, claimed.key, reason, claimed.attempts, wait, exc_info=not is_transient(error))
            effects.postpone(tx, claimed, now + wait, reason, expected)
        else:
            log.error("effect %s failed permanently: %s", claimed.key, reason, exc_info=unexpected)
            self._mark_dead(tx, claimed, reason, now)

    def _mark_dead(self, tx: Transaction, claimed: Claimed, reason: str, now: float) -> None:
        """Mark an effect dead, even if its executor's hook fails: a broken plug-in must not end the dispatcher."""
        effects.mark_dead(tx, claimed, reason, now)
        tx.execute("SAVEPOINT on_dead")
        try:
            on_dead(tx, claimed, reason, self._runtime)
        except (LeaseLost, LedgerBusy):
            raise
        except (Exception, SystemExit) as error:
            require_transaction(tx, error)
            log.exception("effect %s: on_dead failed", claimed.key)
            tx.execute("ROLLBACK TO on_dead")
            effects.mark_dead(tx, claimed, f"{reason}; after that on_dead failed: {describe(error)}", now)
        tx.execute("RELEASE on_dead")
