"""Declaration and execution of checks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gwbatch.clock import Clock
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError, describe
from gwbatch.ledger import Ledger
from gwbatch.reports.finding import Finding, Level

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """What a check can inspect.

    Attributes
    ----------
    ledger : Ledger or None
        None if no dispatcher has ever run on this state directory.
    """

    profile: Profile
    ledger: Ledger | None
    clock: Clock


Look = Callable[[Place], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    every : float
        Seconds between two runs by the dispatcher.
    after : float
        Seconds between the dispatcher's start and the first run.
    look : callable
        Yields findings, with level OK for what is in order.
    """

    name: str
    every: float
    after: float
    look: Look


CHECKS: dict[str, Check] = {}
"""Every check by name, including those of plug-ins."""


def check(name: str, *, every: float = 600.0, after: float = 20.0) -> Callable[[Look], Look]:
    """Declare a check.

    Raises
    ------
    ConfigError
        If another check already has this name.
    """

    def declare(function: Look) -> Look:
        known = CHECKS.get(name)
        if known is not None and (known.look.__module__, known.look.__qualname__) != (
            function.__module__,
            function.__qualname__,
        ):
            raise ConfigError(f"Cannot declare the check {name!r}: another check has this name. Choose another name.")
        CHECKS[name] = Check(name, every, after, function)
        return function

    return declare


def look(one: Check, place: Place) -> list[Finding]:
    """Run a check and return its findings. An exception in the check becomes a finding, too."""
    try:
        return list(one.look(place))
    except Exception as error:
        log.warning("the check %s failed", one.name, exc_info=True)
        text = f"the check {one.name} failed: {describe(error)}"
        return [Finding(Level.WARNING, f"check {one.name}", text, "see the log; the check repeats by itself")]


def run_all(place: Place) -> Iterator[tuple[Check, list[Finding]]]:
    """Run every check, one after the other."""
    for one in CHECKS.values():
        yield one, look(one, place)
