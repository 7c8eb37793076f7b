"""Shift of the ledger's deadlines whenever the machine's clock is set, so that nothing is late or early."""

from __future__ import annotations

import logging

from gwbatch.clock import STEP, GuardedClock
from gwbatch.failpoints import hit
from gwbatch.ledger import Ledger, clock_steps, leases
from gwbatch.ledger.leases import Lease

log = logging.getLogger(__name__)


class ClockKeeper:
    """Shifts the ledger's times when the clock was set, either while the dispatcher runs or while none did."""

    def __init__(self, ledger: Ledger, lease: Lease, clock: GuardedClock) -> None:
        self._ledger, self._lease, self._clock = ledger, lease, clock
        known = clock_steps.noted_offset(ledger.connection)
        missed = 0.0 if known is None else clock.offset - known
        self._move(missed if abs(missed) > STEP else 0.0, clock.offset)

    def step(self) -> bool:
        """Check the clock, and return whether it was set."""
        step = self._clock.step()
        if not step:
            return False
        offset = self._clock.offset + step
        # The clock and the deadlines cannot move at the same instant. A thread that sees only one of them moved must
        # not find anything due, so the move that makes deadlines later comes first.
        if step < 0:
            self._clock.accept(step)
        self._move(step, offset)
        if step > 0:
            self._clock.accept(step)
        return True

    def _move(self, step: float, offset: float) -> None:
        now = offset + self._clock.steady()
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if step:
                log.warning("the clock was set by %+.1f s; shifting all deadlines to match", step)
                clock_steps.move(tx, step)
                clock_steps.note_step(tx, step, now)
            clock_steps.note_offset(tx, offset, now)
            hit("clock.before_commit")
