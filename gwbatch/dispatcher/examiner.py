"""Periodic runs of the checks, whose findings are recorded in the ledger."""

from __future__ import annotations

from gwbatch.checks import CHECKS, Place, load_checks, look
from gwbatch.ledger import leases
from gwbatch.reports import checked
from gwbatch.runtime import Runtime


class Examiner:
    """Runs one due check per step; a slow check delays only the other checks."""

    def __init__(self, runtime: Runtime) -> None:
        load_checks()
        self._ledger, self._lease, self._clock = runtime.ledger, runtime.lease, runtime.clock
        self._place = Place(runtime.profile, runtime.ledger, runtime.clock)
        began = runtime.clock.steady()
        self._due = {name: began + one.after for name, one in CHECKS.items()}

    def step(self) -> bool:
        """Run the check that has been due for longest; return False when none is due."""
        now = self._clock.steady()
        name = min(self._due, key=lambda one: self._due[one])
        if self._due[name] > now:
            return False
        found = look(CHECKS[name], self._place)
        self._due[name] = self._clock.steady() + CHECKS[name].every
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            checked.note(tx, name, found, self._clock.now())
        return True
