"""Fetching of a job's inputs: local files, GraceDB files and the sky maps of notices.

A notice contains its map or links to it, or the observatory publishes one some minutes later.
"""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from gwbatch.causes import cause_of
from gwbatch.errors import BadInput, NotThereYet
from gwbatch.executors.kept import content_of
from gwbatch.jobs.result import sync
from gwbatch.mirror.externals import ExternalStore
from gwbatch.runtime import Runtime

CONNECT, READ = 10.0, 30.0  # s
WHOLE = 300.0  # s for the whole download of a map
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 300.0  # s between attempts, growing by a factor of 1.5


@dataclass(frozen=True)
class Patience:
    """When, and how many times, to try to download a map.

    Attributes
    ----------
    begin, end : float
        Unix time in s before which there is no attempt, and after which a failed attempt is the last.
    tries, most_tries : int
        Number of this attempt, and the maximum.
    """

    begin: float
    end: float
    tries: int = 1
    most_tries: int = 40

    def is_over(self, now: float) -> bool:
        """Tell whether an attempt that failed at `now` (Unix s) was the last."""
        return now >= self.end or self.tries >= self.most_tries

    @property
    def pause(self) -> float:
        """Seconds before the next attempt."""
        return min(LONGEST_PAUSE, FIRST_PAUSE * 1.5 ** min(self.tries - 1, 20))


def fetch(source: Mapping[str, Any], place: Path, since: float, tries: int, runtime: Runtime) -> None:
    """Write an input of a job to `place`, unless that file already exists.

    Parameters
    ----------
    since : float
        When the job was planned, Unix time in s.
    tries : int
        The number of this attempt.
    """
    if place.exists():
        return
    temporary = place.with_name(f".{place.name}.new")
    if "path" in source:
        temporary.write_bytes(content_of(source["path"], f"Cannot fetch the input {place.name}", runtime))
    elif "gracedb" in source:
        graceid, filename = source["gracedb"]
        temporary.write_bytes(runtime.gracedb().download(runtime.graceid(graceid), filename))
    elif "ordered" in source:
        temporary.write_bytes(_ordered_map(source["ordered"], since, tries, runtime))
    else:
        temporary.write_bytes(_map_of_notice(source, since, tries, runtime))
    sync(temporary)
    temporary.replace(place)


def _ordered_map(url: str, since: float, tries: int, runtime: Runtime) -> bytes:
    """Download a map that a person has chosen, from any HTTPS address or one in ``external.map_sources``."""
    settings = runtime.policy.external
    patience = Patience(since, since + settings.map_wait, tries, settings.map_tries)
    return fetch_map(url, ["https://", *settings.map_sources], settings.largest_map, patience, runtime.clock.now())


def _map_of_notice(source: Mapping[str, Any], since: float, tries: int, runtime: Runtime) -> bytes:
    ((kind, digest),) = ((name, source[name]) for name in ("inline", "url", "official") if name in source)
    _, _, notice = ExternalStore(runtime.ledger.connection).notice(source["external"], digest)
    settings = runtime.policy.external
    if kind == "inline":
        return decode_map(notice.skymap, settings.largest_map)
    url, wait = notice.skymap, settings.map_wait
    if kind == "official":
        url, since, wait = notice.official_map, since + settings.official_map_after, settings.official_map_wait
    patience = Patience(since, since + wait, tries, settings.map_tries)
    return fetch_map(url, settings.map_sources, settings.largest_map, patience, runtime.clock.now())


def decode_map(text: str, largest: int) -> bytes:
    """Decode a map given in base64.

    Raises
    ------
    BadInput
        If the text is not base64, or the map is larger than `largest` bytes.
    """
    try:
        content = base64.b64decode(text, validate=False)
    except ValueError as error:
        raise BadInput(f"Cannot read the sky map inside the notice: it is not base64 ({error}).") from error
    if not content or len(content) > largest:
        raise BadInput(f"Cannot use the sky map inside the notice: it has {len(content)} bytes (limit {largest}).")
    return content


def fetch_map(url: str, sources: Sequence[str], largest: int, patience: Patience, now: float) -> bytes:
    """Download a map from an address.

    Parameters
    ----------
    sources : sequence of str
        Prefixes of the allowed addresses, because a notice may name any address.
    now : float
        Unix time in s.

    Raises
    ------
    NotThereYet
        If the map may become available later.
    BadInput
        If the address is not allowed, the map is too large, or the last attempt failed.
    """
    if url.startswith("http://") and not url.startswith(tuple(sources)):
        url = f"https://{url.removeprefix('http://')}"  # observatories still write http in their notices
    if not url.startswith(tuple(sources)):
        raise BadInput(f"Cannot download the sky map {url[:200]}: it matches no prefix in external.map_sources.")
    if now < patience.begin:
        raise NotThereYet(f"The sky map {url} is expected later.", patience.begin - now, patience.end)
    try:
        return _download(url, largest)
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, _Refused) as error:
        problem = cause_of(error) or type(error).__name__
    if patience.is_over(now):
        raise BadInput(f"Cannot download the sky map {url}: {problem}. Gave up after {patience.tries} tries.")
    message = f"Cannot download the sky map {url} yet: {problem}. Trying again later."
    raise NotThereYet(message, patience.pause, patience.end)


class _Refused(Exception):
    """The server answered with something other than a map, or sent the map too slowly."""


class _OlderTLS(HTTPAdapter):
    """HTTPS with TLS 1.2, for servers such as HEASARC's, whose TLS 1.3 fails with some clients."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = ssl.create_default_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        super().init_poolmanager(*args, **kwargs, ssl_context=context)


def _download(url: str, largest: int) -> bytes:
    with requests.Session() as session:
        try:
            return _read(session, url, largest)
        except requests.exceptions.SSLError:
            session.mount("https://", _OlderTLS())
            return _read(session, url, largest)


def _read(session: requests.Session, url: str, largest: int) -> bytes:
    content, began = bytearray(), time.monotonic()
    with session.get(url, timeout=(CONNECT, READ), stream=True, allow_redirects=False) as reply:
        if reply.status_code != requests.codes.ok:
            raise _Refused(f"status {reply.status_code}")
        while part := reply.raw.read1(1 << 16, decode_content=True):  # what has arrived, without waiting for more
            content += part
            if len(content) > largest:
                raise BadInput(f"Cannot use the sky map {url}: it is larger than {largest} bytes.")
            if time.monotonic() - began > WHOLE:
                raise _Refused(f"only {len(content)} bytes in {WHOLE:g} s")
    return bytes(content)
