"""Which handler sees which topic, in which lane."""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.effects import Effect
from gwbatch.errors import BadInput, ConfigError
from gwbatch.gpstime import utc_to_gps
from gwbatch.ledger import Transaction, decisions, messages
from gwbatch.ledger.external import Externals
from gwbatch.ledger.mirror import Mirror
from gwbatch.model import Decision
from gwbatch.plugins import import_plugins
from gwbatch.voevent import is_voevent

LANES = ("superevent", "exttrig", "general")
SERIAL_LANES = ("superevent", "exttrig")
JOB_ENDED = "job.ended"
SUPEREVENT_CHANGED = "lane.superevent_changed"
EXTERNAL_FOUND = "lane.external_found"
ORDER_ANNOTATE = "lane.order_annotate"
ORDER_PREFER = "lane.order_prefer"
OWN_TOPICS = ("every.", "job.", "lane.")


@dataclass
class Context:
    """What a handler that asks for it may read besides the payload, inside the lane's transaction.

    Attributes
    ----------
    now : float
        Unix time in seconds.
    topic : str
        Where the message came from.
    live : bool
        Whether `now` is the time at which the message came; not so in a replay.
    """

    tx: Transaction
    policy: Policy
    profile: Profile
    now: float
    topic: str = ""
    message_id: int | None = None
    live: bool = True
    decisions: list[Decision] = field(default_factory=list)

    @cached_property
    def mirror(self) -> Mirror:
        """The mirror of GraceDB."""
        return Mirror(self.tx)

    @cached_property
    def externals(self) -> Externals:
        """External triggers."""
        return Externals(self.tx)

    def record(self, decision: Decision) -> None:
        """Bring the ledger to the state after a decision and write the decision down."""
        if "external" in decision.detail:
            self.externals.apply(decision)
        else:
            self.mirror.apply(decision, self.now)
        decisions.record(self.tx, decision, self.now, self.message_id)
        self.decisions.append(decision)

    def refuse_the_future(self, gps: float, what: str) -> None:
        """Raise `BadInput` for a GPS time (s) further ahead than the policy allows; not in a replay."""
        limit = datetime.fromtimestamp(self.now + self.policy.future_limit, UTC)
        if self.live and gps > utc_to_gps(limit):
            raise BadInput(f"{what} has the gpstime {gps!r}, which is far in the future.")

    def tell(self, topic: str, payload: dict[str, Any], lane: str) -> None:
        """Have a lane handle a message of our own, once this transaction is committed."""
        messages.send(self.tx, "lane", topic, {**payload, "because": self.message_id}, [lane], self.now)


@dataclass(frozen=True)
class Handler:
    """A function and the topics it wants to see.

    Attributes
    ----------
    lane : str
        ``superevent`` and ``exttrig`` are strictly serial, ``general`` is concurrent.
    interval : float or None
        For `every`: seconds between two calls.
    """

    name: str
    topics: frozenset[str]
    lane: str
    function: Callable[..., Any]
    interval: float | None = None

    @cached_property
    def wants_context(self) -> bool:
        """Whether the function takes a second argument, the `Context`."""
        return len(inspect.signature(self.function).parameters) > 1

    def __call__(self, payload: Any, context: Context | None) -> list[Effect]:
        """Run the function; what it returns or yields is a list of effects."""
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
    """All registered handlers."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._by_topic: dict[str, list[Handler]] = defaultdict(list)

    def add(
        self, topics: Iterable[str], lane: str, function: Callable[..., Any], interval: float | None = None
    ) -> None:
        """Register `function`; registering the same function again replaces it."""
        if lane not in LANES:
            raise ConfigError(f"There is no lane {lane!r}: choose one of {', '.join(LANES)}.")
        name = self._name(function)
        self.remove(name)
        handler = Handler(name, frozenset(topics), lane, function, interval)
        self._handlers[name] = handler
        for topic in handler.topics:
            self._by_topic[topic].append(handler)

    def _name(self, function: Callable[..., Any]) -> str:
        """The function's own name, numbered where others (lambdas, say) have it already."""
        base = name = f"{function.__module__}.{function.__qualname__}"
        number = 1
        while name in self._handlers and self._handlers[name].function is not function:
            number += 1
            name = f"{base}#{number}"
        return name

    def remove(self, name: str) -> None:
        """Forget a handler."""
        handler = self._handlers.pop(name, None)
        for topic in handler.topics if handler else ():
            self._by_topic[topic].remove(handler)  # type: ignore[arg-type]

    def handlers(self) -> Sequence[Handler]:
        """All handlers."""
        return tuple(self._handlers.values())

    def for_topic(self, topic: str) -> list[Handler]:
        """The handlers that want to see `topic`, in order of registration."""
        return list(self._by_topic.get(self.known_topic(topic), ()))

    def lanes_for(self, topic: str) -> list[str]:
        """The lanes with a handler for `topic`."""
        return list(dict.fromkeys(handler.lane for handler in self.for_topic(topic)))

    def topics(self) -> list[str]:
        """All topics that somebody wants."""
        return sorted(topic for topic, handlers in self._by_topic.items() if handlers)

    def known_topic(self, topic: str) -> str:
        """The topic that handlers asked for: without a server's prefix (``gracedb.``), or without the search.

        ``group_pipeline_search`` belongs to ``group_pipeline`` where nobody asked for the search.
        """
        if topic in self._by_topic or topic.startswith(("gcn.", *OWN_TOPICS, "igwn.")):
            return topic
        bare = topic.rpartition(".")[2].lower()
        base = "_".join(bare.split("_")[:2])
        return next((known for known in (bare, base) if known in self._by_topic), topic)

    @contextmanager
    def scratch(self) -> Iterator[Registry]:
        """Start from nothing and restore afterwards; for tests."""
        saved = self._handlers, self._by_topic
        self._handlers, self._by_topic = {}, defaultdict(list)
        try:
            yield self
        finally:
            self._handlers, self._by_topic = saved


REGISTRY = Registry()


def load_handlers(policy: Policy, profile: Profile) -> Registry:
    """Register the built-in handlers, the profile's plug-ins and those of the entry-point group ``gwbatch.plugins``."""
    from gwbatch.handlers import builtin

    builtin.register(policy, profile)
    import_plugins(profile.plugins, profile.plugin_folders)
    return REGISTRY


def decode(topic: str, payload: bytes) -> Any:
    """A payload as handlers see it: bytes for VOEvent topics, else what the JSON says.

    Raises
    ------
    BadInput
        When the payload is not what its topic promises.
    """
    if "." in topic and (".classic." in topic or is_voevent(payload)):
        from gwbatch.handlers.voevent import check_topic

        check_topic(topic, payload)
        return payload
    try:
        value = json.loads(payload)
        if isinstance(value, str):  # GraceDB publishes a JSON string that holds JSON
            value = json.loads(value)
    except (ValueError, RecursionError) as error:
        what = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
        raise BadInput(f"The payload on {topic} ({len(payload)} bytes) {what}.") from error
    if not isinstance(value, dict):
        raise BadInput(f"The payload on {topic} is a JSON {type(value).__name__}, not an object.")
    return value
