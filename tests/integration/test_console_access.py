"""Access to the console, and its answers to malformed requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gwbatch.config.profile import ConsoleSettings
from gwbatch.console.access import access_of
from gwbatch.console.app import make_app
from gwbatch.console.server import serve
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger


def token_file(tmp_path: Path, text: str = "correct horse battery", mode: int = 0o600) -> str:
    path = tmp_path / "token"
    path.write_text(text + "\n")
    path.chmod(mode)
    return str(path)


def client(tmp_path: Path, host: str = "10.0.0.5", **settings: Any) -> TestClient:
    app = make_app(tmp_path / "ledger.sqlite", access_of(ConsoleSettings(**settings)))
    return TestClient(app, "http://127.0.0.1", client=(host, 1234), follow_redirects=False)


def test_with_a_token_nobody_else_gets_in(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    for path in ("/", "/status.json", "/metrics", "/superevents.json", "/static/console.js", "/events"):
        assert visitor.get(path).status_code == 401, path
    assert visitor.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert visitor.get("/metrics", headers={"Authorization": "Bearer correct horse battery"}).status_code == 200
    assert visitor.post("/enter", data={"token": "wrong"}).status_code == 401
    entered = visitor.post("/enter", data={"token": "correct horse battery"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "correct horse" not in entered.headers["set-cookie"]
    assert visitor.get("/").status_code == 200


def test_the_host_header_opens_nothing(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    for host in ("x/static/console.css?", "x/static/console.css#", "localhost", "127.0.0.1"):
        assert visitor.get("/status.json", headers={"Host": host}).status_code in (400, 401), host


def test_without_a_rule_only_this_machines_own_names_are_answered(tmp_path: Path) -> None:
    """A foreign page whose host name resolves to 127.0.0.1 must not read what its visitor can see (DNS rebinding)."""
    visitor = client(tmp_path)
    assert visitor.get("/", headers={"Host": "evil.example.org:8765"}).status_code == 421
    for host in ("localhost:8765", "127.0.0.1:8765", "[::1]:8765"):
        assert visitor.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/superevents.json?before=99999999999999999999", "/superevents.json?before=²", "/jobs.json?limit=²",
     "/deadletter.json?id=m²", "/deadletter.json?id=m99999999999999999999", "/job.json?key=%00", "/superevent.json"],
)  # fmt: skip
def test_odd_questions_get_an_answer(ledger: Ledger, path: str) -> None:
    assert ledger.path is not None
    app = make_app(ledger.path, access_of(ConsoleSettings()))
    assert TestClient(app, "http://127.0.0.1").get(path).status_code in (200, 404)


def test_a_large_form_is_refused(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    assert visitor.post("/enter", data={"token": "x" * 10_000}).status_code == 413


@pytest.mark.parametrize(
    ("host", "user", "status"), [("127.0.0.1", "ada", 200), ("127.0.0.1", "", 403), ("10.0.0.5", "ada", 403)]
)
def test_the_proxys_word_counts_from_the_proxy_alone(tmp_path: Path, host: str, user: str, status: int) -> None:
    visitor = client(tmp_path, host, user_header="X-Remote-User")
    assert visitor.get("/", headers={"X-Remote-User": user}).status_code == status


@pytest.mark.parametrize(
    ("text", "mode", "reason"), [("short", 0o600, "too short"), ("long enough, surely", 0o644, "chmod 600")]
)
def test_a_token_that_protects_nothing_is_refused(tmp_path: Path, text: str, mode: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        access_of(ConsoleSettings(token_file=token_file(tmp_path, text, mode)))


def test_others_are_let_near_only_with_a_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        serve("0.0.0.0", 1, tmp_path / "ledger.sqlite", ConsoleSettings())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_console_only_reads(tmp_path: Path, method: str) -> None:
    visitor = client(tmp_path)
    for path in ("/", "/status.json", "/jobs.json", "/superevent.json"):
        assert visitor.request(method, path).status_code == 405
