"""The console: read-only, on loopback, with strict headers, and serving no files but its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch.ledger import Ledger, messages
from gwbatch.ledger.messages import Incoming
from tests.integration.consoles import get, running_console


@pytest.fixture
def console(tmp_path: Path) -> Iterator[str]:
    with running_console(tmp_path / "state") as address:
        yield address


def test_the_page_comes_with_strict_headers(console: str) -> None:
    status, headers, body = get(console)
    assert status == 200
    assert b"<script src=" in body
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    for name in ("console.js", "console.css"):
        assert get(f"{console}/static/{name}")[0] == 200


def test_where_no_dispatcher_ever_ran_it_says_so(console: str) -> None:
    status, _, body = get(f"{console}/status.json")
    assert status == 503
    assert "no dispatcher has run there" in json.loads(body)["error"]


def test_it_shows_what_status_shows_and_keeps_itself_current(console: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state" / "ledger.sqlite", create=True)
    found = json.loads(get(f"{console}/status.json")[2])
    assert found["lanes"]["superevent"]["depth"] == 0
    with urllib.request.urlopen(f"{console}/events", timeout=10) as stream:
        told: list[Any] = []
        while len(told) < 1:
            line = stream.readline().decode()
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
        with ledger.transaction() as tx:
            hostile = Incoming("spool", "cbc_<script>alert(1)</script>", 0, 1, b"{}")
            messages.receive(tx, hostile, ["superevent"], time.time())
        while told[-1]["lanes"]["superevent"]["depth"] != 1:
            line = stream.readline().decode()
            if line.startswith("data: "):
                told.append(json.loads(line.removeprefix("data: ")))
    ledger.close()


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/etc/passwd", "/nothing"]
)
def test_nothing_else_is_served(path: str, console: str) -> None:
    host, port = console.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:  # an HTTP client would normalize the path
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split(b" ", 2)[1] == b"404"


def test_nothing_can_be_written(console: str) -> None:
    request = urllib.request.Request(f"{console}/status.json", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request, timeout=10)


def test_its_script_puts_text_in_and_never_markup() -> None:
    script = (Path(__file__).parents[2] / "gwbatch" / "console" / "static" / "console.js").read_text()
    assert "textContent" in script
    for markup in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert markup not in script


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_an_address_that_others_reach_is_refused(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gwbatch", "console", "--host", host, "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert "loopback only" in done.stderr
