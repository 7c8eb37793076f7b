"""A difference between the ledger and GraceDB: which side is right, and what would make them agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gwbatch.effects import Effect


class Remedy(StrEnum):
    """How to make the ledger and GraceDB agree."""

    WAIT = "wait"
    """Our write is in progress."""
    WRITE = "write"
    """Run an effect, usually our failed write again."""
    TAKE_OVER = "take over"
    """GraceDB is right, and its alert never came. Handle the alert as if it had."""
    LOOK = "look"
    """Only a person can decide."""


@dataclass(frozen=True)
class LostAlert:
    """The alert that GraceDB would have sent, rebuilt from what it says now."""

    topic: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One difference between the ledger and GraceDB.

    Attributes
    ----------
    subject : str
        The GraceDB ID, or our key if there is none yet.
    what : str
        ``label ADVREQ``, ``member G123``, ``preferred event``, ``t_0`` (GPS s), ``notice preliminary``.
    ours, theirs : str
        What the ledger and GraceDB say, worded for people.
    why : str
        Which side is right, and how we know.
    effect : str
        Key of the effect to run again.
    ask : Effect or None
        The effect to request instead, if it may never have been requested.
    alert : LostAlert or None
        The alert to handle.
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
        """Subject and aspect, which identify the difference from one comparison to the next."""
        return self.subject, self.what
