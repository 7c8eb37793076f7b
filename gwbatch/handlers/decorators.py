"""The decorators that users write: ``@gcn.handler``, ``@igwn_alert.handler`` (``lvalert``), ``@every``, ``@on``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gwbatch.external.notice_types import NoticeType
from gwbatch.handlers.declarations import Declaration, Interval, declare

if TYPE_CHECKING:
    from gwbatch.handlers.messages import Message

Function = TypeVar("Function", bound=Callable[..., Any])


class Stream:
    """A stream of alerts; `handler` declares a function for some of its topics."""

    def __init__(self, name: str) -> None:
        self.name = name

    def topic(self, key: Any) -> str:
        """Return the topic that `key` stands for."""
        return str(key)

    def handler(self, *keys: Any, queue: str = "general", name: str = "") -> Callable[[Function], Function]:
        """Call the function with the payload of each message on the topics `keys`.

        Parameters
        ----------
        *keys : str or int or NoticeType or function
            Topics; for `gcn` also notice types by member, number or name. A function of policy and site profile returns
            topics when the dispatcher starts.
        queue : str
            The lane: ``superevent``, ``exttrig`` (both serial) or ``general``.
        name : str
            The handler's name in the ledger. A fixed name lets the function move to another module.
        """
        if not keys:
            raise TypeError(f"@{self.name}.handler needs at least one topic.")

        def register(function: Function) -> Function:
            topics = tuple(
                key if callable(key) and not isinstance(key, NoticeType) else self.topic(key) for key in keys
            )
            declare(Declaration(function, topics, queue, name))
            return function

        return register


class GCN(Stream):
    """General Coordinates Network: notices by type (VOEvent, bytes) or by topic (JSON, dict)."""

    NoticeType = NoticeType

    def topic(self, key: Any) -> str:
        if isinstance(key, str) and key not in NoticeType.__members__:
            return key
        member = NoticeType[key] if isinstance(key, str) else NoticeType(key)
        return f"gcn.classic.voevent.{member.name}"


gcn = GCN("gcn")
igwn_alert = Stream("igwn_alert")
lvalert = igwn_alert
"""Former name of `igwn_alert`."""


def every(seconds: float | Interval, *, queue: str = "general", name: str = "") -> Callable[[Function], Function]:
    """Call the function periodically, by a timer that survives restarts.

    Parameters
    ----------
    seconds : float or function of policy and site profile
        The interval in s. A function may return 0 for never.
    """
    if isinstance(seconds, int | float) and seconds <= 0:
        raise ValueError("the interval must be positive")

    def register(function: Function) -> Function:
        topic = f"every.{name or f'{function.__module__}.{function.__qualname__}'}"
        declare(Declaration(function, (topic,), queue, name, interval=seconds))
        return function

    return register


def on(message: type[Message], *, queue: str | None = None, name: str = "") -> Callable[[Function], Function]:
    """Call the function with each message of an internal class.

    Parameters
    ----------
    queue : str or None
        One of the class's lanes; the first one if not given.
    """
    lane = queue or message.lanes[0]
    if lane not in message.lanes:
        raise ValueError(f"{message.__name__} goes to {', '.join(message.lanes)}, never to the lane {lane!r}.")

    def register(function: Function) -> Function:
        declare(Declaration(function, (message.topic,), lane, name, message=message))
        return function

    return register
