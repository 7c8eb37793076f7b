"""One thing on which the ledger and GraceDB differ: who is right, and what would make them agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gwbatch.effects import Effect


class Remedy(StrEnum):
    """What makes them agree."""

    WAIT = "wait"
    """Our write is in progress."""
    WRITE = "write"
    """Our write failed: have it done again."""
    TAKE_OVER = "take over"
    """GraceDB is right, and its alert never came: handle it as if it had."""
    LOOK = "look"
    """Only a person can tell."""


@dataclass(frozen=True)
class LostAlert:
    """What GraceDB would have told us, made from what it says now."""

    topic: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes
    ----------
    subject : str
        GraceDB's id, or our key while it has none.
    what : str
        ``label ADVREQ``, ``member G123``, ``preferred event``, ``t_0`` (GPS s), ``notice preliminary``.
    ours, theirs : str
        What either says, for people.
    why : str
        Who is right, and how that can be told.
    effect : str
        Key of the effect that is to be done again.
    ask : Effect or None
        In its place, where nobody may have asked for it yet.
    alert : LostAlert or None
        What is to be handled.
    """

    subject: str
    what: str
    ours: str
    theirs: str
    remedy: Remedy
    why: str
    effect: str = ""
    ask: Effect | None = None
    alert: LostAlert | None = None

    @property
    def name(self) -> tuple[str, str]:
        """The same while it is the same difference."""
        return self.subject, self.what
