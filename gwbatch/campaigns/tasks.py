"""What goes to a science process, and what comes back."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

How = Literal["done", "bad-input", "failed", "died", "stopped"]


class Task(msgspec.Struct, frozen=True):
    """One event to work at.

    Attributes
    ----------
    id : int
        The event's number in the campaign.
    path, sha256 : str
        The file that it is in, and what that file was when the campaign was planned.
    coinc : int
        Its coinc_event_id there.
    products : list of str
        What to make, in this order.
    predicted : float
        CPU seconds.
    truth : dict or None
        Where an injection truly was: ``ra`` and ``dec`` (rad), ``distance`` (Mpc).
    alone : bool
        Whether nothing else may run on the node: it has failed beside others, or has killed them.
    """

    id: int
    path: str
    sha256: str
    coinc: int
    products: list[str]
    predicted: float = 0.0
    truth: dict[str, float] | None = None
    alone: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How it went.

    Attributes
    ----------
    how : str
        ``done``; ``bad-input``: nobody can; ``failed``, ``died``: perhaps elsewhere; ``stopped``: by us, no fault.
    facts : dict
        What is known of the event now; under each product's name what it says of itself.
    cpu, wall : float
        Seconds.
    memory : float
        Peak of the process in MB.
    """

    id: int
    how: How
    reason: str = ""
    facts: dict[str, Any] = {}
    cpu: float = 0.0
    wall: float = 0.0
    memory: float = 0.0
    host: str = ""
