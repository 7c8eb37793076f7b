"""The decorators that users write: ``@gcn.handler``, ``@igwn_alert.handler`` (``lvalert``), ``@every``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gwbatch.handlers.notice_types import NoticeType
from gwbatch.handlers.registry import REGISTRY

Function = TypeVar("Function", bound=Callable[..., Any])


class Stream:
    """A stream of alerts; `handler` registers a function for some of its topics."""

    def __init__(self, name: str) -> None:
        self.name = name

    def topic(self, key: Any) -> str:
        """The topic that `key` means."""
        return str(key)

    def handler(self, *keys: Any, queue: str = "general") -> Callable[[Function], Function]:
        """Call the function with the payload of each message on the topics `keys`.

        Parameters
        ----------
        *keys : str or int or NoticeType
            Topics; for `gcn` also notice types by member, number or name.
        queue : str
            The lane: ``superevent``, ``exttrig`` (both serial) or ``general``.
        """
        if not keys:
            raise TypeError(f"@{self.name}.handler needs at least one topic.")

        def register(function: Function) -> Function:
            REGISTRY.add([self.topic(key) for key in keys], queue, function)
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
"""Yesterday's name of `igwn_alert`."""


def every(seconds: float, *, queue: str = "general") -> Callable[[Function], Function]:
    """Call the function every so many seconds, by a timer that survives restarts."""
    if seconds <= 0:
        raise ValueError("the interval must be positive")

    def register(function: Function) -> Function:
        REGISTRY.add([f"every.{function.__module__}.{function.__qualname__}"], queue, function, interval=seconds)
        return function

    return register
