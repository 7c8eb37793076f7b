"""A runtime for tests of one part: a lane, a worker or a notifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch.clock import Clock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger
from gwbatch.ledger.leases import Lease
from gwbatch.runtime import Runtime


def make_runtime(
    ledger: Ledger,
    policy: Policy,
    clock: Clock,
    lease: Lease,
    profile: Profile | None = None,
    registry: Registry | None = None,
) -> Runtime:
    """Return a runtime without a batch system and without GraceDB."""

    def refuse() -> Any:
        raise AssertionError("this part needs neither a batch system nor GraceDB")

    state = Path() if ledger.path is None else ledger.path.parent
    return Runtime(ledger, registry or Registry(), policy, profile or Profile(), state, clock, lease, refuse, refuse)
