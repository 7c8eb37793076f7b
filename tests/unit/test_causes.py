"""Why a server did not answer, from real failures of real connections."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from gwbatch.causes import cause_of
from tests.certificates import certificate


@contextmanager
def server(behave: Callable[[socket.socket], object]) -> Iterator[int]:
    """Listen on loopback, and do something with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    behave(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def cause(url: str) -> str:
    with pytest.raises(requests.RequestException) as caught:
        requests.get(url, timeout=0.5)
    return cause_of(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert cause(f"http://127.0.0.1:{free.getsockname()[1]}/") == "connection refused"


def test_the_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert cause("http://gracedb.invalid/") == "its name cannot be resolved"


def test_the_server_is_silent() -> None:
    ended = threading.Event()
    with server(lambda _: ended.wait(5)) as port:
        assert cause(f"http://127.0.0.1:{port}/") == "no reply in time"
        ended.set()


def test_the_server_closes_the_connection() -> None:
    with server(lambda connection: connection.recv(1000)) as port:
        assert cause(f"http://127.0.0.1:{port}/") == "it closed the connection without a reply"


def test_the_certificate_is_nobodys(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "cert.pem", days=1.0))

    def greet(connection: socket.socket) -> None:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            pass

    with server(greet) as port:
        assert cause(f"https://127.0.0.1:{port}/").startswith("its certificate is not accepted (self-signed")


def test_an_error_without_a_known_cause_speaks_for_itself() -> None:
    error = ValueError("no JSON")
    error.__cause__ = error
    assert cause_of(error) == "no JSON"
