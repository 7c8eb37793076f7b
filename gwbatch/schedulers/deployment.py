"""The resident processes as jobs of a batch system: what every kind of deployment offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Resident:
    """A resident process as the batch system sees it.

    Attributes
    ----------
    role : str
        ``dispatcher``, ``console``, or what starts them again (``dagman``).
    state : str
        ``idle``, ``running``, ``held`` or ``leaving``.
    since : float or None
        Unix time in seconds.
    """

    role: str
    job: str
    state: str
    reason: str = ""
    since: float | None = None


class Deployment(Protocol):
    """Starting, watching and stopping the resident processes."""

    def write(self) -> Sequence[str]:
        """Make the files; returns the command that submits them."""
        ...

    def submit(self) -> str:
        """Submit what `write` made; returns the batch system's name for it."""
        ...

    def residents(self) -> list[Resident]:
        """What runs or waits.  Raises `SchedulerBusy` when there is no answer."""
        ...

    def hold(self) -> None:
        """Stop the processes, to be started again by `release`."""
        ...

    def release(self) -> None:
        """Start held processes again."""
        ...

    def remove(self) -> None:
        """Stop the processes for good; they finish what is under way."""
        ...
