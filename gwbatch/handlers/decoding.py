"""Decoding of payloads for handlers."""

from __future__ import annotations

import json
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external.voevent import check_topic, is_voevent


def decode(topic: str, payload: bytes) -> Any:
    """Return a VOEvent as bytes, anything else as the decoded JSON object.

    Raises
    ------
    BadInput
        When the payload is not of the form that its topic requires.
    """
    if "." in topic and (".classic." in topic or is_voevent(payload)):
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
