"""Notifications: one when a problem has lasted long enough, and one when it clears."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from gwbatch.config.limits import Limits
from gwbatch.effects import Effect
from gwbatch.effects.kinds import Email, Webhook
from gwbatch.errors import LeaseLost, LedgerBusy
from gwbatch.ledger import Transaction, effects, leases, troubles
from gwbatch.ledger.troubles import Trouble
from gwbatch.reports.finding import Finding, Level
from gwbatch.reports.health import findings
from gwbatch.reports.status import report
from gwbatch.runtime import Runtime

log = logging.getLogger(__name__)

EVERY = 10.0  # s between checks


class Notifier:
    """Compares the current problems with those of the previous check, and requests notifications as effects."""

    def __init__(self, runtime: Runtime) -> None:
        self._ledger = runtime.ledger
        self._settings = runtime.profile.notify
        limits = Limits.of(runtime.profile.limits)
        self._limits = replace(limits, silence=self._settings.silence or limits.silence)
        self._lease = runtime.lease
        self._clock = runtime.clock
        self._due = float("-inf")
        self._first = True

    @property
    def wanted(self) -> bool:
        """Whether the site has configured a recipient."""
        return bool(self._settings.webhook_file or self._settings.email_to)

    def step(self) -> bool:
        """Check once, if a check is due."""
        if not self.wanted or self._clock.steady() < self._due:
            return False
        self._due = self._clock.steady() + EVERY
        try:
            self._look(self._clock.now())
        except (LeaseLost, LedgerBusy):
            raise
        except Exception:
            log.exception(
                "cannot check for problems; trying again later"
            )  # a failed check must not stop the dispatcher
        return True

    def _look(self, now: float) -> None:
        limits = self._limits
        found = findings(self._ledger, report(self._ledger, now), limits)
        chosen = {
            one.key: one for one in found if one.level > Level.OK and one.key.startswith(tuple(self._settings.select))
        }
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            for effect in (*self._start(), *self._compare(tx, chosen, now)):
                effects.request(tx, effect, now)
        self._first = False

    def _start(self) -> Iterator[Effect]:
        if self._first and self._lease.token > 1 and "dispatcher".startswith(tuple(self._settings.select)):
            yield from self._tell(f"start/{self._lease.token}", "the dispatcher was started again")

    def _compare(self, tx: Transaction, chosen: dict[str, Finding], now: float) -> Iterator[Effect]:
        known = troubles.known(tx)
        for key, one in chosen.items():
            before = known.get(key)
            since = before.since if before is not None else now
            told = before is not None and before.told and one.level <= before.level
            if not told and now - since >= self._settings.after:
                yield from self._tell(f"{key}/{since}/{one.level}", f"{Level(one.level).name}: {one.text}")
                told = True
            troubles.put(tx, Trouble(key, one.level, one.text, since, told))
        for key in known.keys() - chosen.keys():
            another = any(one.split()[:2] == key.split()[:2] for one in chosen)  # e.g. dead letter m2 after m1
            if known[key].told and not another:
                yield from self._tell(f"{key}/{known[key].since}/over", f"cleared: {known[key].text}")
            troubles.forget(tx, key)

    def _tell(self, what: str, text: str) -> Iterator[Effect]:
        if self._settings.webhook_file:
            yield Webhook(text, what)
        if self._settings.email_to:
            yield Email(text, what)
