"""Privacy of collaboration-only triggers on a shared host, where nobody else can read the state or guess a token."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient

from gwbatch import logs
from gwbatch.config.profile import ConsoleSettings
from gwbatch.console import access
from gwbatch.console.access import OWN_TOKEN, Guesses, access_of
from gwbatch.console.app import make_app
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger
from gwbatch.private import private_folder
from tests.integration.consoles import free_port
from tests.integration.harness import Harness


def open_to_others(folder: Path) -> list[str]:
    found = [folder, *folder.rglob("*")]
    return [str(path) for path in found if not path.is_socket() and path.stat().st_mode & 0o077]


@pytest.fixture
def careless() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_dispatcher_keeps_its_state_private_whatever_the_umask(tmp_path: Path, careless: None) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (state / "ledger.sqlite").touch(mode=0o644)
    command = [sys.executable, "-m", "gwbatch", "run", "--state", str(state)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "dispatcher ready" in line:
            break
    assert open_to_others(state) == []
    assert {"ledger.sqlite", "ledger.sqlite-wal", "logs", "jobs", "doorbell"} <= {path.name for path in state.iterdir()}
    process.terminate()
    process.communicate(timeout=60)


def test_job_folders_are_private(harness: Harness, careless: None) -> None:
    harness.upload()
    harness.settle(3)
    folders = [path for path in (harness.folder / "jobs").rglob("*") if (path / "job.json").exists()]
    assert folders
    for folder in folders:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)

    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ConfigError, match=r"Cannot keep .* private"):
        private_folder(tmp_path / "theirs")


# ---- the console -----------------------------------------------------------------------------------------


def visitor(tmp_path: Path, **settings: Any) -> TestClient:
    app = make_app(tmp_path / "ledger.sqlite", access_of(ConsoleSettings(**settings), tmp_path))
    return TestClient(app, "http://127.0.0.1", client=("127.0.0.1", 1), follow_redirects=False)


def test_on_loopback_a_token_is_asked_for(tmp_path: Path) -> None:
    client = visitor(tmp_path)
    assert client.get("/").status_code == 401
    assert client.get("/metrics").status_code == 401
    token = (tmp_path / OWN_TOKEN).read_text().strip()
    assert stat.S_IMODE((tmp_path / OWN_TOKEN).stat().st_mode) == 0o600
    assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert client.post("/enter", data={"token": token}).status_code == 303
    assert client.get("/").status_code == 200
    assert visitor(tmp_path).post("/enter", data={"token": token}).status_code == 303  # the token survives a restart


def test_the_profile_may_open_loopback(tmp_path: Path) -> None:
    assert visitor(tmp_path, loopback="open").get("/").status_code == 200
    assert not (tmp_path / OWN_TOKEN).exists()


def test_guesses_are_limited_over_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_TOKEN", 0.05)
    client = visitor(tmp_path)
    token = (tmp_path / OWN_TOKEN).read_text().strip()
    assert client.post("/enter", data={"token": token}).status_code == 303
    owner = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
    client.cookies.clear()
    for number in range(access.FREE_GUESSES):
        assert client.get("/", headers={"Authorization": f"Bearer guess{number}"}).status_code == 401
        # A right token in between does not earn more free guesses.
        assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    waits: list[float] = []
    real = anyio.sleep

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await real(seconds)

    monkeypatch.setattr(access.anyio, "sleep", wait)
    began = time.monotonic()
    for _ in range(2):
        assert client.get("/", headers={"Authorization": "Bearer again"}).status_code == 401
        assert client.post("/enter", data={"token": "again"}).status_code == 401
    assert time.monotonic() - began >= 0.2  # each guess waited for its turn
    assert waits == [0.05] * 4
    for _ in range(5):
        assert client.get("/", headers=owner).status_code == 200
    assert waits == [0.05] * 4  # someone already logged in never waits
    assert client.post("/enter", data={"token": token}).status_code == 303  # the right token still gets in


def test_wrong_guesses_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses = Guesses()
    monkeypatch.setattr(access, "FORGIVEN_AFTER", 0.0)
    for _ in range(access.FREE_GUESSES):
        guesses._count(False)
    time.sleep(0.001)
    assert guesses._recent() == 0


def test_a_cookie_says_nothing_about_the_token_and_belongs_to_one_console(tmp_path: Path) -> None:
    first, second = (access_of(ConsoleSettings(), tmp_path / name) for name in ("a", "b"))
    again = access_of(ConsoleSettings(), tmp_path / "a")
    assert first.cookie != second.cookie
    assert (again.cookie, again.token) == (first.cookie, first.token)
    assert again.proof != first.proof


def test_guesses_at_once_take_turns_and_too_many_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    import anyio

    monkeypatch.setattr(access, "WRONG_TOKEN", 0.02)
    looked: list[float] = []

    async def attack() -> list[str]:
        guesses, answers = Guesses(), []
        for _ in range(access.FREE_GUESSES):
            assert not await guesses.is_right(lambda: False)

        def look() -> bool:
            looked.append(time.monotonic())
            return False

        async def guess() -> None:
            try:
                await guesses.is_right(look)
                answers.append("wrong")
            except access.TooManyGuesses:
                answers.append("turned away")

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(guess)
        return answers

    answers = anyio.run(attack)
    assert answers.count("wrong") == access.WAITING
    assert all(later - earlier >= 0.015 for earlier, later in itertools.pairwise(looked))


def test_a_unix_socket_that_only_its_owner_may_open(tmp_path: Path, careless: None) -> None:
    place = tmp_path / "console.sock"
    command = [sys.executable, "-m", "gwbatch", "console", "--state", str(tmp_path / "state")]
    process = subprocess.Popen([*command, "--set", f"console.socket={place}"], stderr=subprocess.PIPE)
    try:
        answer = b""
        for _ in range(600):
            try:
                with socket.socket(socket.AF_UNIX) as raw:
                    raw.connect(str(place))
                    raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: raw.recv(65536), b""))
                break
            except OSError:
                time.sleep(0.05)
        assert answer.startswith(b"HTTP/1.1 200")
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_console_says_where_its_token_is(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gwbatch", "console", "--port", str(port), "--state", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=30)
    assert str(tmp_path / OWN_TOKEN) in line
    assert (tmp_path / OWN_TOKEN).read_text().strip() not in line  # the line may end up in a log


# ---- logs ------------------------------------------------------------------------------------------------


def test_a_full_disk_costs_a_line_and_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.Handler, "handleError", logging.Handler.handleError)
    monkeypatch.setattr(logs, "_said", float("-inf"))
    logs.quiet_failures()
    logger = logging.getLogger("full")
    handler = logging.FileHandler("/dev/full")
    logger.addHandler(handler)
    for number in range(50):
        logger.error("message %d", number)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("cannot write the log /dev/full") == 1
    handler.stream = open(os.devnull, "w")  # noqa: SIM115, PTH123 (the old stream still buffers the failed writes)
    logger.removeHandler(handler)


def test_the_ledger_is_private_from_its_first_byte(tmp_path: Path, careless: None) -> None:
    ledger = Ledger(tmp_path / "state" / "ledger.sqlite", create=True)
    with ledger.transaction() as tx:
        tx.execute("INSERT INTO settings VALUES ('x', '1', 0)")
    assert [path for path in open_to_others(tmp_path / "state") if "ledger.sqlite" in path] == []
    threading.Event().wait(0)
    ledger.close()
