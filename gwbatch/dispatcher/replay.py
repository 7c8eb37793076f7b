"""Deciding recorded alerts and notices in a scratch ledger: what the serial lanes would do, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gwbatch.config.policy import Policy
from gwbatch.config.profile import ListenerSettings, Profile
from gwbatch.errors import BadInput
from gwbatch.external import ALERT_TOPICS
from gwbatch.handlers.context import Context
from gwbatch.handlers.decoding import decode
from gwbatch.handlers.messages import SupereventChanged
from gwbatch.handlers.recorded import read_message
from gwbatch.ledger import Ledger, messages
from gwbatch.mirror.externals import External
from gwbatch.model import Decision
from gwbatch.orchestrator import SUPEREVENT_TOPICS, external, notice_topics
from gwbatch.orchestrator import superevents as lane
from gwbatch.orchestrator.external_adoption import look_up
from gwbatch.superevents.candidate import finite

NOTICES = "gcn."


def replay(
    lines: Iterable[bytes], policy: Policy, listeners: Mapping[str, ListenerSettings] | None = None
) -> Iterator[str]:
    """Decide each line and yield every decision as one JSON line.

    Notices come on the topics of the `listeners`, and on those of GCN's JSON notices.

    A line is ``{"topic": ..., "payload": ...}``, or has a ``payload_base64`` (VOEvents).  The last line holds
    every superevent's end state, in order of creation, and that of external events where there are any.  The
    file is trusted about the server it comes from.
    """
    ledger = Ledger(None)
    with ledger.transaction() as tx:
        context = Context(tx, policy, Profile(listeners=dict(listeners or {})), 0.0, live=False)
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            context.message_id = number
            context.now = float(number)
            for decision in _decide(line, context):
                yield json.dumps(decision.as_dict())
        final = {"final": [_end_state(superevent) for superevent in context.mirror.superevents()]}
        externals = [_external_state(event, context) for event in context.externals.all()]
        yield json.dumps(final | ({"external": externals} if externals else {}))
    ledger.close()


def _decide(line: bytes, context: Context) -> list[Decision]:
    try:
        topic, alert = _read(line, context.policy, context.profile)
        if _is_notice(topic, context.policy, context.profile):
            return _decide_notice(topic, alert, context)
        if _base(topic) in ALERT_TOPICS:
            if external.known(alert, context) is None and look_up(alert) is None:
                return [Decision("drop", reason="about an external event that is not known here")]
            return _external_lane(external.handle_alert(alert, context), context) or [Decision("none")]
        if topic not in SUPEREVENT_TOPICS and _base(topic) not in context.policy.topics:
            return [Decision("drop", reason=f"topic {topic} is not one that superevents are made from")]
        canonical = messages.digest(json.dumps(alert, sort_keys=True).encode())
        if not messages.first_time(context.tx, canonical, "replay", context.now):
            return [Decision("none", reason="this very alert came before")]
        return _decide_alert(topic, alert, context)
    except BadInput as error:
        return [Decision("drop", reason=f"dead letter: {error}")]


def _is_notice(topic: str, policy: Policy, profile: Profile) -> bool:
    return topic.startswith(NOTICES) or topic in notice_topics(policy, profile)


def _read(line: bytes, policy: Policy, profile: Profile) -> tuple[str, Any]:
    record = decode("replay", line)
    topic, payload = record.get("topic"), record.get("payload")
    if not isinstance(topic, str) or (payload is None and "payload_base64" not in record):
        raise BadInput("a line needs a topic and a payload")
    if _is_notice(topic, policy, profile) or "payload_base64" in record:
        topic, content = read_message(line, ".jsonl")
        payload = decode(topic, content)
        if _is_notice(topic, policy, profile):
            return topic, payload
    if isinstance(payload, str):
        payload = decode(topic, payload.encode(errors="surrogatepass"))
    if not isinstance(payload, dict):
        raise BadInput(f"the payload on {topic} is a JSON {type(payload).__name__}, not an object")
    return topic.rpartition(".")[2].lower(), payload


def _decide_alert(topic: str, alert: dict[str, Any], context: Context) -> list[Decision]:
    before = len(context.decisions)
    if topic in SUPEREVENT_TOPICS:
        for _ in lane.handle_superevent(alert, context):
            pass
        found = context.decisions[before:] or [Decision("none", reason="about a superevent: nothing to decide")]
    else:
        found = lane.decide(alert, context)
    return [*found, *_external_lane((), context)]


def _decide_notice(topic: str, notice: Any, context: Context) -> list[Decision]:
    if topic not in notice_topics(context.policy, context.profile) and not topic.startswith(f"{NOTICES}notices."):
        return [Decision("drop", reason=f"topic {topic} is not one of external triggers")]
    content = notice if isinstance(notice, bytes) else json.dumps(notice, sort_keys=True).encode()
    if not messages.first_time(context.tx, messages.digest(content), "replay", context.now):
        return [Decision("none", reason="this very notice came before")]
    context.topic = topic
    return _external_lane(external.handle_notice(notice, context), context)


def _external_lane(effects: Iterable[Any], context: Context) -> list[Decision]:
    """Run a handler of the external trigger lane, and then what the superevent lane has told that lane."""
    before = len(context.decisions)
    for _ in effects:
        pass
    while told := messages.due(context.tx, "exttrig", context.now):
        for _ in external.handle_superevent_changed(SupereventChanged.read(json.loads(told[0].payload)), context):
            pass
        messages.settle(context.tx, told[0].id, context.now)
    return context.decisions[before:]


def _base(topic: str) -> str:
    return "_".join(topic.split("_")[:2])


def _end_state(superevent: Any) -> dict[str, Any]:
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


def _external_state(event: External, context: Context) -> dict[str, Any]:
    chosen = [one.match for one in context.externals.coincidences(external=event.key) if one.chosen]
    state = {
        "external": event.key,
        "search": event.search,
        "time": event.time,
        "test": event.test,
        "grb": event.grb,
        "reasons": list(event.reasons),
        "labels": sorted(event.labels),
    }
    for match in chosen:
        state |= {"superevent": match.superevent, "dt": match.dt, "far_time": match.far_time}
        state |= {"far_spacetime": finite(match.far_spacetime)}
    return state
