"""What decorators declare, before a policy and a profile say what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from gwbatch.errors import ConfigError

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy
    from gwbatch.config.profile import Profile
    from gwbatch.handlers.messages import Message


class Lane(StrEnum):
    """The lanes of messages: serial ones, whose order decides, and a concurrent one."""

    SUPEREVENT = "superevent"
    EXTTRIG = "exttrig"
    GENERAL = "general"

    @property
    def serial(self) -> bool:
        """Whether its messages are handled strictly one after another."""
        return self is not Lane.GENERAL


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
        The value of a `Lane`.
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
    if declaration.lane not in set(Lane):
        raise ConfigError(f"There is no lane {declaration.lane!r}: choose one of {', '.join(Lane)}.")
    DECLARED.append(declaration)
