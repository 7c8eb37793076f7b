"""What decorators declare, before a policy and a profile say what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gwbatch.errors import ConfigError

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy
    from gwbatch.config.profile import Profile
    from gwbatch.handlers.messages import Message

LANES = ("superevent", "exttrig", "general")
SERIAL_LANES = ("superevent", "exttrig")

Resolver = Callable[["Policy", "Profile"], Iterable[str]]
Interval = Callable[["Policy", "Profile"], float]


@dataclass(frozen=True)
class Declaration:
    """A function and what it wants to see.

    Attributes
    ----------
    topics : tuple of str, or of functions of policy and profile
        Topics, and what finds them out.
    name : str
        Stored in the ledger. Built-in handlers have one of their own, so that they can move; others get the module's
        and the function's.
    lane : str
        ``superevent`` and ``exttrig`` are strictly serial, ``general`` is concurrent.
    interval : float, function of policy and profile, or None
        For `every`: seconds between two calls, or what finds them out; 0 for never.
    message : type of Message or None
        The class that the payload is read as.
    """

    function: Callable[..., Any]
    topics: tuple[str | Resolver, ...]
    lane: str
    name: str = ""
    interval: float | Interval | None = None
    message: type[Message] | None = None


DECLARED: list[Declaration] = []


def declare(declaration: Declaration) -> None:
    """Add a declaration, for every registry that is built from now on."""
    if declaration.lane not in LANES:
        raise ConfigError(f"There is no lane {declaration.lane!r}: choose one of {', '.join(LANES)}.")
    DECLARED.append(declaration)
