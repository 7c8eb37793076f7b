"""Deciding recorded alerts in a scratch ledger: what the superevent lane would do, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.errors import BadInput
from gwbatch.handlers.builtin import SUPEREVENT_TOPICS
from gwbatch.handlers.builtin import superevents as lane
from gwbatch.handlers.registry import Context, decode
from gwbatch.ledger import Ledger, messages
from gwbatch.ledger.mirror import Mirror
from gwbatch.model import Decision


def replay(lines: Iterable[bytes], policy: Policy) -> Iterator[str]:
    """Decide each line (``{"topic": ..., "payload": ...}``) and yield every decision as one JSON line.

    The last line holds every superevent's end state, in order of creation.  The file is trusted about the
    server it comes from.
    """
    ledger = Ledger(None)
    with ledger.transaction() as tx:
        context = Context(tx, policy, Profile(), 0.0, live=False)
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            context.message_id = number
            context.now = float(number)
            for decision in _decide(line, context):
                yield json.dumps(decision.as_dict())
        yield json.dumps({"final": [_end_state(superevent) for superevent in Mirror(tx).superevents()]})
    ledger.close()


def _decide(line: bytes, context: Context) -> list[Decision]:
    try:
        topic, alert = _read(line)
        if topic not in SUPEREVENT_TOPICS and "_".join(topic.split("_")[:2]) not in context.policy.topics:
            return [Decision("drop", reason=f"topic {topic} is not one that superevents are made from")]
        canonical = messages.digest(json.dumps(alert, sort_keys=True).encode())
        if not messages.first_time(context.tx, canonical, "replay", context.now):
            return [Decision("none", reason="this very alert came before")]
        return _decide_alert(topic, alert, context)
    except BadInput as error:
        return [Decision("drop", reason=f"dead letter: {error}")]


def _read(line: bytes) -> tuple[str, dict[str, Any]]:
    record = decode("replay", line)
    topic, payload = record.get("topic"), record.get("payload")
    if not isinstance(topic, str) or payload is None:
        raise BadInput("a line needs a topic and a payload")
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
        return context.decisions[before:] or [Decision("none", reason="about a superevent: nothing to decide")]
    return lane.decide(alert, context)


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
