"""The messages to and from a science process: tasks and their outcomes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

How = Literal["done", "bad-input", "failed", "died", "stopped"]


class Task(msgspec.Struct, frozen=True):
    """One event to work on.

    Attributes
    ----------
    id : int
        Number of the event in the campaign.
    path, sha256 : str
        File that holds the event, and its digest (`psds.digest`) when the campaign was planned.
    coinc : int
        Its coinc_event_id in that file.
    products : list of str
        Products to make, in this order.
    predicted : float
        Predicted CPU seconds.
    truth : dict or None
        For an injection: ``simulation_id``, ``ra`` and ``dec`` (rad), ``distance`` (Mpc).
    alone : bool
        Whether the event must run alone on the node, because it failed or was interrupted too often.
    shares : int
        Number of processes whose threads it may use, because there are fewer events than processes.
    """

    id: int
    path: str
    sha256: str
    coinc: int
    products: list[str]
    predicted: float = 0.0
    truth: dict[str, float] | None = None
    alone: bool = False
    shares: int = 1


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a task.

    Attributes
    ----------
    how : str
        ``done``; ``bad-input``, which is never retried; ``failed`` (an error) or ``died`` (the process ended), which
        may succeed elsewhere; or ``stopped``, which does not count as an attempt.
    facts : dict
        Facts by product, as the products' functions returned them.
    cpu, wall : float
        Seconds.
    memory : float
        Peak memory of the process in MB.
    """

    id: int
    how: How
    reason: str = ""
    facts: dict[str, Any] = {}
    cpu: float = 0.0
    wall: float = 0.0
    memory: float = 0.0
    host: str = ""
