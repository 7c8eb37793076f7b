"""The registry of handlers by topic and lane: declarations, resolved for a policy and a site profile."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.effects import Effect
from gwbatch.handlers.declarations import DECLARED, Declaration
from gwbatch.handlers.messages import OWN_TOPICS, Message

if TYPE_CHECKING:
    from gwbatch.handlers.context import Context


@dataclass(frozen=True)
class Handler:
    """A function and the topics it handles; `name` identifies it in the ledger."""

    name: str
    topics: frozenset[str]
    lane: str
    function: Callable[..., Any]
    interval: float | None = None
    message: type[Message] | None = None

    @cached_property
    def wants_context(self) -> bool:
        """Whether the function takes a second argument, the `Context`."""
        return len(inspect.signature(self.function).parameters) > 1

    def __call__(self, payload: Any, context: Context | None) -> list[Effect]:
        """Run the function, and return the effects that it returns or yields as a list."""
        if self.message is not None:
            payload = self.message.read(payload)
        result = self.function(payload, context) if self.wants_context else self.function(payload)
        if result is None:
            return []
        found = [result] if isinstance(result, Effect) else list(result)
        for effect in found:
            if not isinstance(effect, Effect):
                raise TypeError(
                    f"Handler {self.name} returned {effect!r}; a handler returns effects (gwbatch.effects) or nothing."
                )
        return found


class Registry:
    """The handlers of a dispatcher."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._by_topic: dict[str, list[Handler]] = defaultdict(list)

    @classmethod
    def build(cls, policy: Policy, profile: Profile, declared: Iterable[Declaration] | None = None) -> Registry:
        """Resolve declarations, by default those of all imported modules."""
        registry = cls()
        for declaration in DECLARED if declared is None else declared:
            registry.add(declaration, policy, profile)
        return registry

    def add(self, declaration: Declaration, policy: Policy, profile: Profile) -> None:
        """Resolve one declaration; it replaces an earlier one of the same function and name."""
        interval = declaration.interval
        if callable(interval):
            interval = interval(policy, profile)
            if not interval:
                return
        topics: set[str] = set()
        for topic in declaration.topics:
            topics.update([topic] if isinstance(topic, str) else topic(policy, profile))
        name = self._name(declaration)
        self._forget(name)
        handler = Handler(
            name, frozenset(topics), declaration.lane, declaration.function, interval, declaration.message
        )
        self._handlers[name] = handler
        for topic in handler.topics:
            self._by_topic[topic].append(handler)

    def _name(self, declaration: Declaration) -> str:
        """Return the handler's name, numbered if another function (say, a lambda) already has it."""
        function = declaration.function
        base = name = declaration.name or f"{function.__module__}.{function.__qualname__}"
        number = 1
        while name in self._handlers and self._handlers[name].function is not function:
            number += 1
            name = f"{base}#{number}"
        return name

    def _forget(self, name: str) -> None:
        handler = self._handlers.pop(name, None)
        for topic in handler.topics if handler else ():
            self._by_topic[topic].remove(handler)  # type: ignore[arg-type]

    def handlers(self) -> Sequence[Handler]:
        """Return all handlers."""
        return tuple(self._handlers.values())

    def for_topic(self, topic: str) -> list[Handler]:
        """Return the handlers of `topic`, in order of declaration."""
        return list(self._by_topic.get(self.known_topic(topic), ()))

    def lanes_for(self, topic: str) -> list[str]:
        """Return the lanes with a handler for `topic`."""
        return list(dict.fromkeys(handler.lane for handler in self.for_topic(topic)))

    def topics(self) -> list[str]:
        """Return all topics that have a handler."""
        return sorted(topic for topic, handlers in self._by_topic.items() if handlers)

    def known_topic(self, topic: str) -> str:
        """Return the declared topic that `topic` matches, without the server's prefix (``gracedb.``) or the search.

        ``group_pipeline_search`` matches ``group_pipeline`` if no handler declares the search.
        """
        if topic in self._by_topic or topic.startswith(("gcn.", *OWN_TOPICS, "igwn.")):
            return topic
        bare = topic.rpartition(".")[2].lower()
        base = "_".join(bare.split("_")[:2])
        return next((known for known in (bare, base) if known in self._by_topic), topic)
