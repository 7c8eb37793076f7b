"""Effect workers: claim one effect, carry it out, write down how it went."""

from __future__ import annotations

import logging

from gwbatch.clock import Clock
from gwbatch.dispatcher import backoff
from gwbatch.dispatcher.executors import Executors
from gwbatch.dispatcher.lanes import in_words
from gwbatch.errors import GwbatchError
from gwbatch.faults import mark
from gwbatch.ledger import Ledger, effects, leases
from gwbatch.ledger.effects import Claimed

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
            self._failed(claimed, error)
            return True
        mark("effect.before_done")
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if outcome.commit is not None:
                outcome.commit(tx)
            effects.done(tx, claimed, outcome.result, self._clock.now())
        mark("effect.after_done")
        return True

    def _anything_ready(self) -> bool:
        """A look that takes no lock, so that idle workers disturb nobody."""
        now = self._clock.now()
        return bool(
            self._ledger.read("SELECT 1 FROM effects WHERE state = 'ready' AND not_before <= ? LIMIT 1", (now,))
        )

    def _failed(self, claimed: Claimed, error: Exception) -> None:
        reason, now = in_words(error), self._clock.now()
        transient = isinstance(error, GwbatchError) and error.transient
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if transient:
                wait = getattr(error, "retry_after", None) or backoff.delay(claimed.attempts)
                log.warning("effect %s: %s (try %d, again in %.1f s)", claimed.key, reason, claimed.attempts, wait)
                effects.postpone(tx, claimed, now + wait, reason)
            else:
                log.error(
                    "effect %s failed for good: %s",
                    claimed.key,
                    reason,
                    exc_info=not isinstance(error, GwbatchError),
                )
                effects.bury(tx, claimed, reason, now)
                self._executors.given_up(tx, claimed, reason)
