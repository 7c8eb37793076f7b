"""Why a server did not answer, in words, from the nested exceptions of the libraries for HTTP."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import RemoteDisconnected

import requests
import urllib3


def cause_of(error: BaseException) -> str:
    """Return the innermost known cause of a failed request, or else the error's own text."""
    nested = list(_nested(error))
    for one in nested:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({one.verify_message})"
        if isinstance(one, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror[0].lower() + one.strerror[1:]
    if any(isinstance(one, RemoteDisconnected) for one in nested):
        return "it closed the connection without a reply"
    if any(isinstance(one, (TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError)) for one in nested):
        return "no reply in time"
    return str(error)


def _nested(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it was made from, which libraries keep in different places."""
    left, seen = [error], set[int]()
    while left:
        one = left.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inside = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        left += [inner for inner in inside if isinstance(inner, BaseException)]
