"""A finding: something that a check noticed, how severe it is, and what to do about it."""

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
    """Something that a check noticed.

    Attributes
    ----------
    key : str
        Identifies the problem for as long as it lasts (``listener gcn``).
    level : Level
        OK if the finding is worth showing but needs no action.
    remedy : str
        What to do, in the imperative; empty if there is nothing to do.
    standing : bool
        Whether it is a gap in the configuration and no incident. It is listed below all incidents.
    """

    level: Level
    key: str
    text: str
    remedy: str = ""
    standing: bool = False
