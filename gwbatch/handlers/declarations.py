"""Declarations made by decorators, before a policy and a profile resolve them."""

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
    """The lanes of messages: two serial ones, in which the order matters, and a concurrent one."""

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
    """A function and the messages that it handles.

    Attributes
    ----------
    topics : tuple of str, or of functions of policy and profile
        Topics, or functions that return topics.
    name : str
        Stored in the ledger. Built-in handlers have an explicit name, so that they can move to another module; the
        default is made of the names of module and function.
    lane : str
        The value of a `Lane`.
    interval : float, function of policy and profile, or None
        For `every`: seconds between two calls, or a function that returns them; 0 means never.
    message : type of Message or None
        The class to which the payload is converted.
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
