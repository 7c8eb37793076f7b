"""Messages recorded in files: their topics and payloads."""

from __future__ import annotations

import base64
import json
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.voevent import VOEvent


def read_message(part: bytes, suffix: str) -> tuple[str, bytes]:
    """Return topic and payload of a spooled message.

    Raises
    ------
    BadInput
        When it is neither a message, nor an alert, nor a VOEvent of a known type.
    """
    if suffix == ".xml":
        return VOEvent(part).topic, part
    try:
        value = json.loads(part)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"a JSON {type(value).__name__} instead of a message")
    if "topic" not in value:
        return _topic_of_alert(value), part
    topic = value["topic"]
    if not isinstance(topic, str):
        raise BadInput("the topic is not a string")
    if "payload_base64" in value:
        try:
            return topic, base64.b64decode(value["payload_base64"], validate=True)
        except (ValueError, TypeError) as error:
            raise BadInput(f"payload_base64 is not base64: {error}") from error
    payload = value.get("payload")
    try:
        topic.encode()
        return topic, payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"text that no encoding has: {error.reason}") from error


def _topic_of_alert(alert: dict[str, Any]) -> str:
    data = alert.get("object")
    if isinstance(data, dict) and data.get("superevent_id"):
        return "superevent"
    if isinstance(data, dict) and data.get("group") and data.get("pipeline"):
        return f"{data['group']}_{data['pipeline']}".lower()
    raise BadInput("neither a message with a topic nor an IGWN alert about an event or superevent")
