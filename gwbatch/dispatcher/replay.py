"""Replay of recorded alerts and notices in a scratch ledger, through the same lanes that decide live ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import ListenerSettings, Profile
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.errors import BadInput
from gwbatch.external import alert_topics
from gwbatch.external.event import ExternalEvent
from gwbatch.handlers.declarations import Lane
from gwbatch.handlers.decoding import decode
from gwbatch.handlers.recorded import read_message
from gwbatch.ledger import Ledger, decisions, leases, messages
from gwbatch.ledger.messages import Incoming
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import Action, Decision
from gwbatch.orchestrator import load_handlers, notice_topics
from gwbatch.runtime import Runtime
from gwbatch.superevents import Superevent
from gwbatch.superevents.candidate import finite

GCN, NOTICES = "gcn.", "gcn.notices."
SOURCE = "replay"


def replay(lines: Iterable[bytes], policy: Policy, site: Profile | None = None) -> Iterator[str]:
    """Decide each line and yield every decision as one JSON line.

    An input line is ``{"topic": ..., "payload": ...}``, or has ``payload_base64`` instead (VOEvents).  The last output
    line holds the final state of every superevent, in order of creation, and of every external event if there are any.

    Parameters
    ----------
    site : Profile, optional
        Its listeners give the topics that bring notices (besides GCN's JSON notices), and its plug-ins take part.
        The rest of it is ignored, including its GraceDB server, so alerts from any server are decided.
    """
    scratch = Scratch(policy, site or Profile())
    for number, line in enumerate(lines, 1):
        if line.strip():
            for decision in scratch.decide(line, number):
                yield json.dumps(decision.as_dict())
    yield json.dumps(scratch.end())


class Scratch:
    """An in-memory ledger with the serial lanes.

    Effects are recorded but never executed, timers never fire, and the clock shows the line number.
    """

    def __init__(self, policy: Policy, site: Profile) -> None:
        self._policy = policy
        self._profile = Profile(listeners=site.listeners, plugins=site.plugins, plugin_folders=site.plugin_folders)
        self._clock = ManualClock()
        self._ledger = Ledger(None)
        with self._ledger.transaction() as tx:
            self._lease = leases.acquire(tx, "dispatcher", 0.0)
        self._open_lanes()

    def _open_lanes(self) -> None:
        self._registry = load_handlers(self._policy, self._profile)
        runtime = Runtime(
            self._ledger, self._registry, self._policy, self._profile, Path("/nonexistent"), self._clock, self._lease,
            _refuse, _refuse,
        )  # fmt: skip
        self._notice_topics = frozenset(notice_topics(self._policy, self._profile))
        self._lanes = [LaneWorker(name, runtime, None, live=False) for name in Lane if name.serial]

    def decide(self, line: bytes, number: int) -> list[Decision]:
        """Return what the lanes decide about a line."""
        self._clock.advance(number - self._clock.now())
        try:
            topic, payload = self._read(line)
            lanes = self._lanes_for(topic)
            if not lanes:
                what = "of external triggers" if self._is_notice(topic) else "that superevents are made from"
                return [Decision(Action.DROP, reason=f"topic {topic} is not one {what}")]
            return self._handle(topic, payload, lanes, number)
        except BadInput as error:
            return [Decision(Action.DROP, reason=f"dead letter: {error}")]

    def _read(self, line: bytes) -> tuple[str, bytes]:
        """Return topic and payload; alerts with equal content get equal bytes."""
        record = decode(SOURCE, line)
        topic = record.get("topic")
        if not isinstance(topic, str) or (record.get("payload") is None and "payload_base64" not in record):
            raise BadInput("a line needs a topic and a payload")
        payload = record.get("payload")
        if self._is_notice(topic) or "payload_base64" in record:
            topic, content = read_message(line, ".jsonl")
            payload = decode(topic, content)
        if not self._is_notice(topic):
            payload = _alert(topic, payload)
            topic = topic.rpartition(".")[2].lower()
        return topic, payload if isinstance(payload, bytes) else json.dumps(payload, sort_keys=True).encode()

    def _is_notice(self, topic: str) -> bool:
        return topic.startswith(GCN) or topic in self._notice_topics

    def _lanes_for(self, topic: str) -> list[str]:
        if topic.startswith(NOTICES) and not self._registry.for_topic(topic):
            self._listen_to(topic)
        return [lane for lane in self._registry.lanes_for(topic) if Lane(lane).serial]

    def _listen_to(self, topic: str) -> None:
        known = self._profile.listeners.get(SOURCE, ListenerSettings(kind="spool"))
        listener = msgspec.structs.replace(known, topics=(*known.topics, topic))
        self._profile = msgspec.structs.replace(self._profile, listeners={**self._profile.listeners, SOURCE: listener})
        self._open_lanes()

    def _handle(self, topic: str, payload: bytes, lanes: list[str], number: int) -> list[Decision]:
        connection = self._ledger.connection
        names = [handler.name for handler in self._registry.for_topic(topic) if handler.lane in lanes]
        came_before = any(messages.was_handled(connection, messages.digest(payload), name) for name in names)
        newest = decisions.newest(connection)
        with self._ledger.transaction() as tx:
            message_id = messages.receive(tx, Incoming(SOURCE, topic, 0, number, payload), lanes, self._clock.now())
        self._run_lanes()
        if failure := messages.dead_because(connection, message_id):
            reason = next((failure.removeprefix(f"{n}: ") for n in names if failure.startswith(f"{n}: ")), failure)
            return [Decision(Action.DROP, reason=f"dead letter: {reason}")]
        found = decisions.after(connection, newest)
        if not any(about == message_id for about, _ in found):
            found = [*((message_id, one) for one in self._nothing_decided(topic, came_before)), *found]
        return [decision for _, decision in found]

    def _nothing_decided(self, topic: str, came_before: bool) -> list[Decision]:
        """Return the output for a message about which the lanes recorded no decision."""
        if self._is_notice(topic):
            return [Decision(Action.NONE, reason="this very notice came before")] if came_before else []
        if "_".join(topic.split("_")[:2]) in alert_topics():
            return [Decision(Action.NONE)]
        why = "this very alert came before" if came_before else "about a superevent: nothing to decide"
        return [Decision(Action.NONE, reason=why)]

    def _run_lanes(self) -> None:
        """Step the lanes until none has anything left to do: one lane may send messages to another."""
        is_busy = True
        while is_busy:
            waiting = messages.waiting_lanes(self._ledger.connection)
            steps = [lane.step() for lane in self._lanes if lane.name in waiting]
            is_busy = any(steps)

    def end(self) -> dict[str, Any]:
        """Return the final state, and close the ledger."""
        connection = self._ledger.connection
        externals = ExternalStore(connection)
        final: dict[str, Any] = {"final": [_superevent(one) for one in SupereventStore(connection).superevents()]}
        if states := [_external(one, externals) for one in externals.all()]:
            final["external"] = states
        self._ledger.close()
        return final


def _alert(topic: str, payload: Any) -> dict[str, Any]:
    if isinstance(payload, str):
        payload = decode(topic, payload.encode(errors="surrogatepass"))
    if not isinstance(payload, dict):
        raise BadInput(f"the payload on {topic} is a JSON {type(payload).__name__}, not an object")
    return payload


def _refuse() -> NoReturn:
    raise BadInput("A replay asks neither a batch system nor GraceDB.")


def _superevent(superevent: Superevent) -> dict[str, Any]:
    return {
        "superevent": superevent.key,
        "superevent_id": superevent.superevent_id,
        "category": superevent.category,
        "t_start": superevent.t_start,
        "t_0": superevent.t_0,
        "t_end": superevent.t_end,
        "preferred": superevent.preferred,
        "events": list(superevent.events),
        "labels": list(superevent.labels),
    }


def _external(event: ExternalEvent, externals: ExternalStore) -> dict[str, Any]:
    state = {
        "external": event.key,
        "search": event.search,
        "time": event.time,
        "test": event.test,
        "grb": event.is_burst,
        "reasons": list(event.reasons),
        "labels": sorted(event.labels),
    }
    for match in [one.match for one in externals.coincidences(external=event.key) if one.chosen]:
        state |= {"superevent": match.superevent, "dt": match.dt, "far_time": match.far_time}
        state |= {"far_spacetime": finite(match.far_spacetime)}
    return state
