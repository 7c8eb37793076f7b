"""Sky maps that come with notices: inside, or as a link."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence

import requests

from gwbatch.errors import BadInput, TransientError

CONNECT, READ = 10.0, 30.0  # s
WHOLE = 300.0  # s for all of a map


class NotThereYet(TransientError):
    """Observatories put their maps up when they are ready: asked again once a minute."""

    retry_after = 60.0  # s


def decode_map(text: str, largest: int) -> bytes:
    """A map in base64.

    Raises
    ------
    BadInput
        When it is none, or larger than `largest` bytes.
    """
    try:
        content = base64.b64decode(text, validate=False)
    except ValueError as error:
        raise BadInput(f"the sky map inside the notice is not base64: {error}") from error
    if not content or len(content) > largest:
        raise BadInput(f"the sky map inside the notice has {len(content)} bytes (the limit is {largest})")
    return content


def fetch_map(url: str, sources: Sequence[str], largest: int, *, patient: bool) -> bytes:
    """The map at an address of a notice.

    Parameters
    ----------
    sources : sequence of str
        Beginnings of the addresses that may be asked; a notice may name any.
    patient : bool
        Whether a map that is not there yet may still come.

    Raises
    ------
    TransientError
        When it may be had later.
    BadInput
        When the address is refused, the map is too large, or it never came.
    """
    if not url.startswith(tuple(sources)):
        raise BadInput(f"the sky map {url[:200]} is at no address that the policy trusts (external.map_sources)")
    try:
        with requests.get(url, timeout=(CONNECT, READ), stream=True, allow_redirects=False) as reply:
            if reply.status_code == requests.codes.ok:
                return _read(reply, largest)
            problem = f"status {reply.status_code}"
    except requests.RequestException as error:
        problem = str(error)
    if patient:
        raise NotThereYet(f"The sky map {url} cannot be had yet: {problem}. Trying again later.")
    raise BadInput(f"the sky map {url} never came: {problem}")


def _read(reply: requests.Response, largest: int) -> bytes:
    content, began = bytearray(), time.monotonic()
    while part := reply.raw.read1(1 << 16, decode_content=True):  # what has come, without waiting for more
        content += part
        if len(content) > largest:
            raise BadInput(f"the sky map {reply.url} is larger than {largest} bytes")
        if time.monotonic() - began > WHOLE:
            raise NotThereYet(f"The sky map {reply.url} came too slowly. Trying again later.")
    return bytes(content)
