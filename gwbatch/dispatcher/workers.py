"""Effect workers: claim one effect, carry it out, write down how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from gwbatch.clock import Clock
from gwbatch.dispatcher import backoff
from gwbatch.dispatcher.executors import Executors
from gwbatch.dispatcher.lanes import in_words
from gwbatch.dispatcher.outcome import Outcome
from gwbatch.errors import GwbatchError, LeaseLost, LedgerBusy, is_transient
from gwbatch.faults import mark
from gwbatch.ledger import Ledger, Transaction, effects, leases
from gwbatch.ledger.effects import Claimed

LONGEST = {"job.submit": 10.0}  # s between tries: asking the own submit host costs little, a sky map is waited for

log = logging.getLogger(__name__)


class EffectWorker:
    """Carries effects out, one at a time; several workers share a ledger.

    A claim is committed before the effect is begun, so that after a crash its outcome is known to be unknown.
    """

    def __init__(self, ledger: Ledger, executors: Executors, lease: leases.Lease, clock: Clock) -> None:
        self._ledger = ledger
        self._executors = executors
        self._lease = lease
        self._clock = clock

    def step(self) -> bool:
        """Carry out one effect; False when none may run now."""
        if not self._anything_ready():
            return False
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            claimed = effects.claim(tx, self._lease.token, self._clock.now())
        if claimed is None:
            return False
        mark("effect.claimed")
        try:
            outcome = self._executors.carry_out(claimed)
        except Exception as error:
            self._write_down(partial(self._failed, claimed=claimed, error=error))
            return True
        mark("effect.before_done")
        try:
            self._write_down(partial(self._succeeded, claimed=claimed, outcome=outcome))
        except LeaseLost:
            raise
        except Exception as error:
            self._write_down(partial(self._failed, claimed=claimed, error=error))
        mark("effect.after_done")
        return True

    def _write_down(self, write: Callable[[Transaction], None]) -> None:
        """Write how an effect went, however long the ledger is busy: a claimed effect is never forgotten."""
        while True:
            try:
                with self._ledger.transaction() as tx:
                    leases.check(tx, self._lease)
                    write(tx)
                return
            except LedgerBusy as error:
                log.warning("%s", error)
                time.sleep(0.2)

    def _succeeded(self, tx: Transaction, claimed: Claimed, outcome: Outcome) -> None:
        if outcome.commit is not None:
            outcome.commit(tx)
        effects.done(tx, claimed, outcome.result, self._clock.now())

    def _anything_ready(self) -> bool:
        """A look that takes no lock, so that idle workers disturb nobody."""
        now = self._clock.now()
        return bool(
            self._ledger.read("SELECT 1 FROM effects WHERE state = 'ready' AND not_before <= ? LIMIT 1", (now,))
        )

    def _failed(self, tx: Transaction, claimed: Claimed, error: Exception) -> None:
        reason, now = in_words(error), self._clock.now()
        if is_transient(error):
            wait = getattr(error, "retry_after", None) or backoff.delay(
                claimed.attempts, longest=LONGEST.get(claimed.kind, 60.0)
            )
            log.warning("effect %s: %s (try %d, again in %.1f s)", claimed.key, reason, claimed.attempts, wait)
            effects.postpone(tx, claimed, now + wait, reason, getattr(error, "expected", None))
        else:
            log.error(
                "effect %s failed for good: %s", claimed.key, reason, exc_info=not isinstance(error, GwbatchError)
            )
            effects.bury(tx, claimed, reason, now)
            self._executors.given_up(tx, claimed, reason)
