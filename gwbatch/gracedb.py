"""GraceDB: the client of ``ligo-gracedb`` with timeouts, and errors that say whether a retry can help.

The client's own retries are off, because they would repeat a POST after a lost reply and create an event twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from gwbatch.causes import cause_of
from gwbatch.config.profile import GraceDBSettings
from gwbatch.errors import GwbatchError, TransientError

if TYPE_CHECKING:
    from ligo.gracedb.rest import GraceDb

# 401 and 403 result from an expired token, which other software renews; the effects then continue.
TRANSIENT_STATUS = frozenset({401, 403, 408, 409, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 300.0  # s, the longest wait that a server's Retry-After can impose
BAD_REQUEST, NOT_FOUND = 400, 404


class GraceDBError(GwbatchError):
    """GraceDB refused a request permanently.

    Attributes
    ----------
    status : int
        HTTP status.
    text : str
        The server's message.
    """

    def __init__(self, message: str, status: int, text: str) -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class GraceDBUnreachable(TransientError):
    """GraceDB did not answer or was busy."""


class _TimeoutAdapter(HTTPAdapter):
    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        super().__init__(pool_connections=4, pool_maxsize=32, max_retries=0)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (min(self._timeout, 10.0), self._timeout)
        return super().send(*args, **kwargs)


def make_client(settings: GraceDBSettings) -> GraceDb:
    """Return a client for the server of a profile; its slow import happens here, only when a client is needed."""
    from ligo.gracedb.rest import GraceDb

    client = GraceDb(service_url=settings.url, force_noauth=settings.auth == "none", retries=0)
    for scheme in ("http://", "https://"):
        client.mount(scheme, _TimeoutAdapter(settings.timeout))
    return client


@contextmanager
def translate_errors(doing: str) -> Iterator[None]:
    """Turn the client's exceptions into `GraceDBError` or `GraceDBUnreachable`."""
    try:
        yield
    except requests.HTTPError as error:
        response = error.response
        if response is None:
            raise GraceDBUnreachable(
                f"GraceDB gave no answer to {doing}: {cause_of(error)}. Trying again later."
            ) from error
        status, said = response.status_code, message_of(response.content)
        if status in TRANSIENT_STATUS:
            busy = GraceDBUnreachable(f"GraceDB answered {status} to {doing}: {said}. Trying again later.")
            wait = response.headers.get("Retry-After", "")
            busy.retry_after = min(float(wait), LONGEST_WAIT) if wait.isascii() and wait.isdigit() else None
            raise busy from error
        raise GraceDBError(f"GraceDB refused {doing} with status {status}: {said}.", status, said) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        why = cause_of(error)
        raise GraceDBUnreachable(f"GraceDB did not answer to {doing}: {why}. Trying again later.") from error


def message_of(body: bytes) -> str:
    """Return the message in an error body, in any of GraceDB's formats."""
    try:
        value = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace").strip() or "no reason given"
    if isinstance(value, dict):
        value = value.get("error") or value.get("errors") or value.get("detail") or value.get("warnings") or value
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)


class GraceDB:
    """A GraceDB server: the client, and the queries that make writes idempotent.

    Attributes
    ----------
    client : GraceDb
        The client of ``ligo-gracedb``; call it inside `translate_errors`.
    """

    def __init__(self, client: GraceDb) -> None:
        self.client = client

    def superevent_of(self, event: str) -> str | None:
        """Return the superevent that an event belongs to."""
        with translate_errors(f"read event {event}"):
            superevent = self.client.event(event).json().get("superevent")
        return str(superevent) if superevent else None

    def download(self, source: str, filename: str) -> bytes:
        """Return a file's content: the newest version, unless `filename` is ``NAME,VERSION``.

        Raises
        ------
        GraceDBError
            When there is no such file (status 404), or for any other refusal.
        """
        with translate_errors(f"download {filename} of {source}"):
            stream = self.client.files(source, filename)
            try:
                return bytes(stream.read())
            finally:
                stream.close()
                stream.release_conn()

    def has_file(self, target: str, filename: str, content: bytes) -> bool:
        """Return whether the newest version of a file has this content."""
        try:
            existing = self.download(target, filename)
        except GraceDBError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return hashlib.sha256(existing).digest() == hashlib.sha256(content).digest()

    def version_with(self, target: str, filename: str, content: bytes) -> int | None:
        """Return the number of the newest version of a file that has this content; None if there is none."""
        newest = self.newest_version(target, filename)
        for version in range(-1 if newest is None else newest, -1, -1):
            if self.has_file(target, f"{filename},{version}", content):
                return version
        return None

    def newest_version(self, target: str, filename: str) -> int | None:
        """Return the number of the newest version of a file; None if there is none."""
        with translate_errors(f"read the log of {target}"):
            body = self.client.logs(target).json()
        entries = body.get("logs", body.get("log", []))
        versions = [entry.get("file_version") for entry in entries if entry.get("filename") == filename]
        return max((version for version in versions if isinstance(version, int)), default=None)

    def event_file(self, graceid: str, largest: int) -> tuple[dict[str, Any], str, bytes | None]:
        """Return an event, and the name and content of the file that it was created from.

        The content is None if there is no such file or it has more than `largest` bytes.
        """
        with translate_errors(f"read event {graceid}"):
            event = dict(self.client.event(graceid).json())
            entries = self.client.logs(graceid).json()
        named = [
            str(entry["filename"]) for entry in entries.get("log", entries.get("logs", [])) if entry.get("filename")
        ]
        if not named:
            return event, "", None
        try:
            content = self.download(graceid, named[0])
        except GraceDBError as error:
            if error.status != NOT_FOUND:
                raise
            return event, named[0], None
        return event, named[0], content if len(content) <= largest else None


@contextmanager
def accept(*phrases: str) -> Iterator[None]:
    """Ignore a refusal (status 400) whose text contains one of `phrases`, because what we want already exists."""
    try:
        yield
    except GraceDBError as error:
        if error.status != BAD_REQUEST or not any(phrase in error.text for phrase in phrases):
            raise


@contextmanager
def accept_missing() -> Iterator[None]:
    """Ignore the failed removal of something that does not exist (status 404)."""
    try:
        yield
    except GraceDBError as error:
        if error.status != NOT_FOUND:
            raise
