"""One thing that somebody looked at, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """The exit codes of Nagios and Icinga."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    key : str
        The same while it is the same trouble (``listener gcn``).
    level : Level
        OK for what is worth seeing, but is being dealt with.
    remedy : str
        What to do, as an order; empty where there is nothing to do.
    """

    level: Level
    key: str
    text: str
    remedy: str = ""
