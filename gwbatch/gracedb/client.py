"""The GraceDB client with the two things it lacks: timeouts, and errors that say whether a retry can help.

The client's own retries are off: it would send a POST again after a lost reply, and make an event twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from ligo.gracedb.rest import GraceDb
from requests.adapters import HTTPAdapter

from gwbatch.config.profile import GraceDBSettings
from gwbatch.errors import GwbatchError, TransientError

# 401 and 403 are what an expired token gets: it is renewed by others, and then the effects go on.
TRANSIENT_STATUS = frozenset({401, 403, 408, 409, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 300.0  # s that a server may ask us to wait


class GraceDBError(GwbatchError):
    """GraceDB refused a request for good.

    Attributes
    ----------
    status : int
        HTTP status.
    text : str
        What the server said.
    """

    def __init__(self, message: str, status: int, text: str) -> None:
        super().__init__(message)
        self.status = status
        self.text = text


class GraceDBUnreachable(TransientError):
    """GraceDB did not answer, or said that it is busy.

    Attributes
    ----------
    retry_after : float or None
        Seconds that the server asked to wait.
    """

    retry_after: float | None = None


class _TimeoutAdapter(HTTPAdapter):
    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        super().__init__(pool_connections=4, pool_maxsize=32, max_retries=0)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (min(self._timeout, 10.0), self._timeout)
        return super().send(*args, **kwargs)


def make_client(settings: GraceDBSettings) -> GraceDb:
    """A client for the profile's server."""
    client = GraceDb(service_url=settings.url, force_noauth=settings.auth == "none", retries=0)
    for scheme in ("http://", "https://"):
        client.mount(scheme, _TimeoutAdapter(settings.timeout))
    return client


@contextmanager
def errors_in_words(doing: str) -> Iterator[None]:
    """Turn what the client raises into `GraceDBError` or `GraceDBUnreachable`."""
    try:
        yield
    except requests.HTTPError as error:
        response = error.response
        if response is None:
            raise GraceDBUnreachable(f"GraceDB gave no answer to {doing}: {error}. Trying again later.") from error
        status, said = response.status_code, message_of(response.content)
        if status in TRANSIENT_STATUS:
            busy = GraceDBUnreachable(f"GraceDB answered {status} to {doing}: {said}. Trying again later.")
            wait = response.headers.get("Retry-After", "")
            busy.retry_after = min(float(wait), LONGEST_WAIT) if wait.isascii() and wait.isdigit() else None
            raise busy from error
        raise GraceDBError(f"GraceDB refused {doing} with status {status}: {said}.", status, said) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise GraceDBUnreachable(f"GraceDB did not answer to {doing}: {error}. Trying again later.") from error


def message_of(body: bytes) -> str:
    """What an error body says, whichever of GraceDB's shapes it has."""
    try:
        value = json.loads(body)
    except ValueError:
        return body[:300].decode(errors="replace").strip() or "no reason given"
    if isinstance(value, dict):
        value = value.get("error") or value.get("errors") or value.get("detail") or value.get("warnings") or value
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)
