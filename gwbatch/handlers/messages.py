"""Internal messages, which one part of gwbatch sends to the handlers of another.

A plug-in can add its own. It defines a subclass of `Message` with a topic, sends it with ``context.send`` or
``context.schedule``, and handles it with ``@on``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec

from gwbatch.errors import BadInput
from gwbatch.handlers.declarations import Lane

OWN_TOPICS = ("every.", "job.", "lane.")  # no listener accepts topics with these prefixes


class Message(msgspec.Struct, frozen=True):
    """An internal message.

    Attributes
    ----------
    topic : str
        Stored in the ledger, so it must never change; begins with ``lane.`` or ``job.``.
    lanes : tuple of str
        The lanes that receive it.
    """

    topic: ClassVar[str]
    lanes: ClassVar[tuple[str, ...]] = (Lane.GENERAL,)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        topic = cls.__dict__.get("topic")
        if not isinstance(topic, str) or not topic.startswith(OWN_TOPICS):
            raise TypeError(f"{cls.__name__}.topic must begin with one of {', '.join(OWN_TOPICS)} (got {topic!r}).")

    @property
    def source(self) -> str:
        """The message's source, as recorded in the ledger."""
        return self.topic.partition(".")[0]

    def payload(self) -> dict[str, Any]:
        """Return the fields as the ledger stores them, JSON-ready."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Self:
        """Return the message that a payload in the ledger holds.

        Raises
        ------
        BadInput
            When a field is missing or has the wrong type.
        """
        try:
            return msgspec.convert(payload, cls)
        except msgspec.ValidationError as error:
            raise BadInput(f"Cannot read the message {cls.topic}: {error}.") from error


class JobEnded(Message, frozen=True):
    """An attempt of a job has ended, in the state DONE, FAILED or LOST."""

    topic = "job.ended"
    lanes = (Lane.GENERAL, Lane.EXTTRIG)
    job: str
    attempt: int
    state: str


class SupereventChanged(Message, frozen=True):
    """A superevent, its preferred event or one of that event's products has changed."""

    topic = "lane.superevent_changed"
    lanes = (Lane.EXTTRIG,)
    superevent: str


class EventLabelled(Message, frozen=True):
    """gwbatch is about to label an event after making one of its products; the label counts at once.

    Attributes
    ----------
    effect : str
        Key of the effect that sets the label in GraceDB.
    """

    topic = "lane.event_labelled"
    lanes = (Lane.SUPEREVENT,)
    event: str
    label: str
    effect: str


class LabelDecided(Message, frozen=True):
    """gwbatch has decided to set a label on a superevent; the label counts before GraceDB has it."""

    topic = "lane.label_decided"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    label: str


class ExternalFound(Message, frozen=True):
    """An external event in GraceDB that no notice of ours created: the server's description, and its file in base64."""

    topic = "lane.external_found"
    lanes = (Lane.EXTTRIG,)
    object: dict[str, Any]
    filename: str | None = None
    content: str | None = None
    existing: bool = False


class SecondNotice(Message, frozen=True):
    """The second notice about a superevent, of the kind `kind`, is due."""

    topic = "lane.second_notice"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    kind: str


class RequestDataQuality(Message, frozen=True):
    """The request for a data quality report on a superevent is due."""

    topic = "lane.request_data_quality"
    lanes = (Lane.SUPEREVENT,)
    superevent: str


class SignMockOff(Message, frozen=True):
    """The signoff of a mock superevent is due."""

    topic = "lane.sign_mock_off"
    lanes = (Lane.SUPEREVENT,)
    superevent: str


class SendNotice(Message, frozen=True):
    """An operator ordered a notice about a superevent: ``ordered-preliminary`` or ``update``.

    Attributes
    ----------
    event : str
        Member to make the preferred event first; empty keeps the current one.
    files : dict
        Files of the superevent that the notice must use: product to ``NAME,VERSION``.
    """

    topic = "lane.order_send_notice"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    kind: str
    event: str = ""
    files: dict[str, str] = {}
    why: str = ""
    by: str = ""
    at: float = 0.0


class ReleaseNotice(Message, frozen=True):
    """An operator released a withheld notice."""

    topic = "lane.order_release_notice"
    lanes = (Lane.SUPEREVENT,)
    notice: int
    by: str = ""
    why: str = ""
    at: float = 0.0


class Annotate(Message, frozen=True):
    """An operator ordered the products of a superevent: retries of failed jobs, and whatever is missing."""

    topic = "lane.order_annotate"
    superevent: str
    by: str = ""
    at: float = 0.0


class Prefer(Message, frozen=True):
    """An operator chose the preferred event of a superevent."""

    topic = "lane.order_prefer"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    event: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class PreferForPipeline(Message, frozen=True):
    """An operator chose a superevent's best event of one pipeline; the superevent's own preferred event stays."""

    topic = "lane.order_prefer_for_pipeline"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    event: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class CopyMap(Message, frozen=True):
    """An operator ordered a copy of a sky map from one GraceDB object to another.

    Attributes
    ----------
    source, target : str
        GraceDB IDs, or keys of superevents.
    file : str
        ``NAME,VERSION``, or ``NAME`` for the newest version.
    """

    topic = "lane.order_copy_map"
    lanes = (Lane.SUPEREVENT,)
    source: str
    file: str
    target: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class Announce(Message, frozen=True):
    """An operator ordered the announcement of a superevent together with an external event that it coincides with."""

    topic = "lane.order_announce"
    lanes = (Lane.EXTTRIG,)
    superevent: str
    external: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class UseMap(Message, frozen=True):
    """An operator chose the sky map at a URL for an external event."""

    topic = "lane.order_use_map"
    lanes = (Lane.EXTTRIG,)
    external: str
    url: str
    why: str = ""
    by: str = ""
    at: float = 0.0
