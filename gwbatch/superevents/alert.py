"""Alerts from IGWN Alert, parsed once: what has happened, and to which event or superevent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Alert:
    """An alert from a GraceDB server.

    Attributes
    ----------
    type : str
        ``new``, ``update``, ``label_added``, ``label_removed``, ``log``, ``event_added``, ...
    object : mapping or None
        The event or superevent as the server shows it; None if the alert holds none.
    data : mapping
        What has changed (the label, the log message); empty if the alert does not say.
    """

    type: str
    object: Mapping[str, Any] | None
    data: Mapping[str, Any]

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> Self:
        """Parse an alert, even if parts are missing; each handler checks for what it needs."""
        shown, data = payload.get("object"), payload.get("data")
        return cls(
            str(payload.get("alert_type")),
            shown if isinstance(shown, Mapping) else None,
            data if isinstance(data, Mapping) else {},
        )

    @property
    def label(self) -> str:
        """The label that a ``label_added`` or ``label_removed`` alert is about."""
        return str(self.data.get("name", ""))

    @property
    def superevent_id(self) -> str | None:
        """The GraceDB id of the superevent that the alert is about."""
        name = None if self.object is None else self.object.get("superevent_id")
        return name if isinstance(name, str) else None

    def other_server(self, own_url: str) -> str | None:
        """Return the host of another GraceDB server that sent this alert; None if it is ours or does not say."""
        links = None if self.object is None else self.object.get("links")
        link = links.get("self") if isinstance(links, Mapping) else None
        host = urlsplit(link).netloc if isinstance(link, str) else ""
        return host if host and host != urlsplit(own_url).netloc else None
