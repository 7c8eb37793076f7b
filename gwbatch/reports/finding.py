"""A finding: something that a check noticed, how severe it is, and what to do about it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gwbatch.units import age


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
    since : float or None
        When it began, or was first noticed (Unix s); None if unknown, or if the text says it.
    """

    level: Level
    key: str
    text: str
    remedy: str = ""
    standing: bool = False
    since: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what ``--json`` and the console tell of it."""
        return {
            "level": Level(self.level).name, "key": self.key, "text": self.text, "remedy": self.remedy,
            "since": self.since,
        }  # fmt: skip


def since_when(since: float | None, now: float) -> str:
    """Return `` (since 03:12 UTC, 14 min)`` for a Unix time (s), or nothing if it is not known."""
    if since is None:
        return ""
    day = "" if now - since < 43200 else "%Y-%m-%d "
    return f" (since {time.strftime(day + '%H:%M UTC', time.gmtime(since))}, {age(now - since)})"
