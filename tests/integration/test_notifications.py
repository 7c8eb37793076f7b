"""Notifications, once per problem and once when it clears, through a real webhook and mail server on loopback."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gwbatch.config.profile import NotifySettings
from gwbatch.dispatcher.notifier import Notifier
from gwbatch.ledger import messages
from gwbatch.ledger.messages import Incoming
from tests.integration.harness import Harness


class Hook(HTTPServer):
    """An incoming webhook."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.statuses: list[int] = []
        self.texts: list[dict[str, Any]] = []


class Post(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.texts.append(json.loads(body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class Mail(socketserver.StreamRequestHandler):
    """A mail server with just enough SMTP for a client."""

    server: Any

    def handle(self) -> None:
        def say(line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "DATA":
                say("354 go on")
                lines = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(text)
                self.server.mails.append("\n".join(lines))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 fine")


@pytest.fixture
def hook() -> Iterator[Hook]:
    running = Hook()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def mails() -> Iterator[tuple[str, list[str]]]:
    running: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)
    running.mails = []
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{running.server_address[1]}", running.mails
    running.shutdown()
    running.server_close()


def notifier(harness: Harness, tmp_path: Path, hook: Hook | None = None, **settings: Any) -> Notifier:
    if hook is not None:
        (tmp_path / "webhook").write_text(f"http://127.0.0.1:{hook.server_port}/hooks/secret\n")
        settings["webhook_file"] = str(tmp_path / "webhook")
    notify = NotifySettings(**{"select": ["dead letters"], "after": 5.0, **settings})
    harness.profile = msgspec.structs.replace(harness.profile, notify=notify)
    harness.restart()
    return Notifier(harness.runtime)


def look(harness: Harness, watch: Notifier, seconds: float = 30.0) -> None:
    """Advance the clock while the notifier looks and the worker executes effects."""
    end = harness.clock.now() + seconds
    while harness.clock.now() < end:
        watch.step()
        while harness.worker.step():
            pass
        harness.clock.advance(2.0)


def bury_one(harness: Harness) -> None:
    with harness.ledger.transaction() as tx:
        messages.receive(tx, Incoming("x", "y", 0, 1, b"", None), ["general"], time.time(), refused="it is bad")


def test_a_trouble_is_told_once_and_so_is_its_end(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook)
    look(harness, watch)
    assert hook.texts == []
    bury_one(harness)
    look(harness, watch, 60)
    (said,) = hook.texts
    assert said["username"] == "gwbatch"
    assert "WARNING: 1 dead letters" in said["text"]
    assert "it is bad" in said["text"]
    with harness.ledger.transaction() as tx:
        tx.execute("DELETE FROM deliveries")
    look(harness, watch)
    assert [("cleared: " in one["text"]) for one in hook.texts] == [False, True]


def test_what_passes_at_once_is_not_told(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook, after=60.0)
    bury_one(harness)
    look(harness, watch, 20)
    with harness.ledger.transaction() as tx:
        tx.execute("DELETE FROM deliveries")
    look(harness, watch, 120)
    assert hook.texts == []


def test_only_what_the_site_selects_is_told(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook, select=["listener"])
    bury_one(harness)
    look(harness, watch, 60)
    assert hook.texts == []


def test_a_webhook_that_is_down_gets_it_later_and_once(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    hook.statuses = [503, 500, 429]
    watch = notifier(harness, tmp_path, hook)
    bury_one(harness)
    look(harness, watch, 200)
    assert len(hook.texts) == 1


def test_a_webhook_that_refuses_is_a_dead_letter_without_its_secret(
    harness: Harness, tmp_path: Path, hook: Hook
) -> None:
    hook.statuses = [404]
    watch = notifier(harness, tmp_path, hook)
    bury_one(harness)
    look(harness, watch, 60)
    (error,) = [one for one in harness.dead() if "webhook" in one]
    assert "404" in error
    assert "secret" not in error


def test_a_webhook_that_sends_us_elsewhere_has_not_taken_it(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    hook.statuses = [302]
    watch = notifier(harness, tmp_path, hook)
    bury_one(harness)
    look(harness, watch, 60)
    assert any("302" in one for one in harness.dead())


def test_another_dead_letter_is_told_too(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook)
    bury_one(harness)
    look(harness, watch, 60)
    with harness.ledger.transaction() as tx:
        messages.receive(tx, Incoming("x", "y", 0, 2, b"", None), ["general"], time.time(), refused="worse")
    look(harness, watch, 60)
    assert ["worse" in one["text"] for one in hook.texts] == [False, True]


def test_a_dispatcher_that_dies_in_between_tells_nothing_twice(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook)
    bury_one(harness)
    look(harness, watch, 40)
    for _ in range(3):
        watch = notifier(harness, tmp_path, hook)
        look(harness, watch, 40)
    assert len(hook.texts) == 1


def test_a_restart_is_told(harness: Harness, tmp_path: Path, hook: Hook) -> None:
    watch = notifier(harness, tmp_path, hook, select=["dispatcher"])
    look(harness, watch)
    assert ["started again" in one["text"] for one in hook.texts] == [True]


def test_mail(harness: Harness, tmp_path: Path, mails: tuple[str, list[str]]) -> None:
    smtp, sent = mails
    watch = notifier(harness, tmp_path, email_to=["night@example.org"], smtp=smtp)
    bury_one(harness)
    look(harness, watch, 60)
    (mail,) = sent
    read = message_from_string(mail)
    assert read["To"] == "night@example.org"
    assert "gwbatch: [" in read["Subject"]
    assert "1 dead letters" in str(read.get_payload())


def test_nobody_is_told_unless_the_site_says_whom(harness: Harness, tmp_path: Path) -> None:
    watch = notifier(harness, tmp_path)
    bury_one(harness)
    look(harness, watch, 60)
    assert not watch.wanted
    assert harness.states("effects") == {}
