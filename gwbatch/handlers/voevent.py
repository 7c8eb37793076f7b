"""VOEvents as far as their envelope goes: which notice type, which topic."""

from __future__ import annotations

from typing import Any

from gwbatch.errors import BadInput
from gwbatch.handlers.notice_types import NoticeType
from gwbatch.voevent import parse_voevent

VOEVENT_PREFIX = "gcn.classic.voevent."


def notice_type(root: Any) -> NoticeType:
    """The notice type that ``Packet_Type`` says."""
    value = next(
        (param.get("value") for param in root.iterfind("./What/Param") if param.get("name") == "Packet_Type"), None
    )
    try:
        return NoticeType(int(str(value)))
    except ValueError as error:
        raise BadInput(f"a VOEvent of the unknown Packet_Type {value!r}") from error


def voevent_topic(document: bytes) -> str:
    """The topic on which a VOEvent would have come."""
    return VOEVENT_PREFIX + notice_type(parse_voevent(document)).name


def check_topic(topic: str, document: bytes) -> None:
    """Raise `BadInput` unless the document is a VOEvent of the type that its topic names."""
    root = parse_voevent(document)
    if topic.startswith(VOEVENT_PREFIX) and (found := VOEVENT_PREFIX + notice_type(root).name) != topic:
        raise BadInput(f"a VOEvent of type {found.removeprefix(VOEVENT_PREFIX)} on the topic {topic}")
