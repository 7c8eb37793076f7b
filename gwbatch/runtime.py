"""The runtime that lanes, workers, the job watcher and executors share: one argument instead of nine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gwbatch.clock import Clock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.errors import TransientError
from gwbatch.gracedb import GraceDB
from gwbatch.handlers.registry import Registry
from gwbatch.keys import is_external, is_local
from gwbatch.ledger import Ledger
from gwbatch.ledger.leases import Lease
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.schedulers import Scheduler

T = TypeVar("T")


class Once(Generic[T]):
    """A factory that makes its value on the first call, under a lock, and returns the same value from then on."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


@dataclass(frozen=True)
class Runtime:
    """The parts of one dispatcher.

    Attributes
    ----------
    state : Path
        The state directory; job directories are created below it.
    scheduler, gracedb : callable
        Return the batch system and the GraceDB server. Importing the GraceDB client takes a moment, so it is made on
        the first call.
    """

    ledger: Ledger
    registry: Registry
    policy: Policy
    profile: Profile
    state: Path
    clock: Clock
    lease: Lease
    scheduler: Callable[[], Scheduler]
    gracedb: Callable[[], GraceDB]

    def graceid(self, name: str) -> str:
        """Return the GraceDB ID of an event, or of a superevent or external event by its local key.

        Raises
        ------
        TransientError
            While the object has not been created in GraceDB.
        """
        if not is_local(name):
            return name
        connection = self.ledger.connection
        if is_external(name):
            event = ExternalStore(connection).get(name)
            what, graceid = "External event", None if event is None else event.graceid
        else:
            superevent = SupereventStore(connection).superevent(name)
            what, graceid = "Superevent", None if superevent is None else superevent.superevent_id
        if graceid is None:
            raise TransientError(
                f"{what} {name} has no GraceDB ID yet: its creation has not succeeded (see 'gwbatch status')."
            )
        return graceid
