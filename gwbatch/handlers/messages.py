"""Messages of our own: what one part of gwbatch tells the handlers of another, as classes.

A plug-in adds its own: a subclass of `Message` with a topic, sent with ``context.send`` or ``context.schedule`` and
handled with ``@on``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec

from gwbatch.errors import BadInput
from gwbatch.handlers.declarations import Lane

OWN_TOPICS = ("every.", "job.", "lane.")  # no listener brings any such topic


class Message(msgspec.Struct, frozen=True):
    """A message of our own.

    Attributes
    ----------
    topic : str
        Stored in the ledger, so it must never change; begins with ``lane.`` or ``job.``.
    lanes : tuple of str
        The lanes that get it.
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
        """Where the ledger says it came from."""
        return self.topic.partition(".")[0]

    def payload(self) -> dict[str, Any]:
        """Return the fields as the ledger keeps them, JSON-ready."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Self:
        """Return the message of a payload of the ledger.

        Raises
        ------
        BadInput
            When a field is missing or of another type.
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
    """We are about to label an event, since we have made one of its products: it counts at once.

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
    """We have decided to set a label on a superevent: it counts before GraceDB has it."""

    topic = "lane.label_decided"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    label: str


class ExternalFound(Message, frozen=True):
    """An external event of GraceDB that no notice of ours made, as the server describes it, with its file in base64."""

    topic = "lane.external_found"
    lanes = (Lane.EXTTRIG,)
    object: dict[str, Any]
    filename: str | None = None
    content: str | None = None
    existing: bool = False


class SecondNotice(Message, frozen=True):
    """The time of a second notice of the kind `kind` about a superevent has come."""

    topic = "lane.second_notice"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    kind: str


class RequestDataQuality(Message, frozen=True):
    """The time to ask for a data quality report on a superevent has come."""

    topic = "lane.request_data_quality"
    lanes = (Lane.SUPEREVENT,)
    superevent: str


class SignMockOff(Message, frozen=True):
    """The time has come to sign a mock superevent off."""

    topic = "lane.sign_mock_off"
    lanes = (Lane.SUPEREVENT,)
    superevent: str


class SendNotice(Message, frozen=True):
    """Somebody wants a notice about a superevent: ``ordered-preliminary`` or ``update``.

    Attributes
    ----------
    event : str
        Make this member the preferred event first; empty keeps the one that is.
    files : dict
        Product to ``NAME,VERSION`` of a file of the superevent, for those that the notice shall hold.
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
    """Somebody wants a notice sent that was withheld."""

    topic = "lane.order_release_notice"
    lanes = (Lane.SUPEREVENT,)
    notice: int
    by: str = ""
    why: str = ""
    at: float = 0.0


class Annotate(Message, frozen=True):
    """Somebody wants the products of a superevent: failed jobs again, and what is missing."""

    topic = "lane.order_annotate"
    superevent: str
    by: str = ""
    at: float = 0.0


class Prefer(Message, frozen=True):
    """Somebody chose the preferred event of a superevent."""

    topic = "lane.order_prefer"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    event: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class PreferForPipeline(Message, frozen=True):
    """Somebody chose the event that a pipeline shows of a superevent; the superevent's own preferred event stays."""

    topic = "lane.order_prefer_for_pipeline"
    lanes = (Lane.SUPEREVENT,)
    superevent: str
    event: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class CopyMap(Message, frozen=True):
    """Somebody wants a sky map copied from one GraceDB object to another.

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
    """Somebody wants a superevent announced together with an external event that it coincides with."""

    topic = "lane.order_announce"
    lanes = (Lane.EXTTRIG,)
    superevent: str
    external: str
    why: str = ""
    by: str = ""
    at: float = 0.0


class UseMap(Message, frozen=True):
    """Somebody gives an external event the sky map at an address."""

    topic = "lane.order_use_map"
    lanes = (Lane.EXTTRIG,)
    external: str
    url: str
    why: str = ""
    by: str = ""
    at: float = 0.0
