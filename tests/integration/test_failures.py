"""Failures from outside: busy ledgers, torn results, cut downloads, expired tokens and hanging handlers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from gwbatch.config.profile import GraceDBSettings
from gwbatch.effects.kinds import UpdateSuperevent
from gwbatch.errors import LedgerBusy
from gwbatch.executors.registry import retry_dead
from gwbatch.gracedb import GraceDB, GraceDBUnreachable, make_client
from gwbatch.handlers import every
from gwbatch.handlers.registry import Registry
from gwbatch.jobs import result
from gwbatch.ledger import Ledger, effects, timers
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.simulated import Step
from tests.declared import declaring
from tests.integration.harness import MAP, Harness, well


def test_a_ledger_that_is_busy_when_an_effect_is_done_does_not_forget_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = iter([False, True, True, False] * 200)
    real = harness.ledger.transaction

    @contextmanager
    def sometimes_busy() -> Any:
        if next(busy, False):
            raise LedgerBusy("locked")
        with real() as tx:
            yield tx

    harness.upload()
    harness.carry()
    for lane in harness.lanes:
        lane.step()
    monkeypatch.setattr(harness.worker._ledger, "transaction", sometimes_busy)
    for _ in range(20):
        try:
            harness.worker.step()
        except LedgerBusy:
            continue
    assert "running" not in harness.states("effects").values()
    assert len(harness.superevents()) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.pop("host"),
        lambda value: value.update(outputs=[1]),
        lambda value: value.update(outputs={MAP: "x"}),
        lambda value: value.update(cores=10**30),
        lambda value: value.update(error={"message": "caf\udce9", "retryable": False}),
        lambda value: value.update(error="no mapping"),
        lambda value: value.update(facts=None),
    ],
)
def test_a_strange_result_never_stops_the_watcher(harness: Harness, spoil: Any) -> None:
    def work(request: JobRequest) -> None:
        well(request)
        if request.key == "G0001/localize/1":
            path = request.directory / result.NAME
            value = json.loads(path.read_text())
            spoil(value)
            path.write_text(json.dumps(value))

    harness.scheduler.work = work
    harness.upload()
    harness.upload("pycbc", far=3e-9)
    harness.settle(60.0)
    states = harness.states("jobs")
    assert states["G0002/localize"] == "DONE"
    assert states["G0001/localize"] in ("DONE", "FAILED")


def test_a_download_that_is_cut_is_tried_again(harness: Harness) -> None:
    """A body shorter than its Content-Length raises no error in requests, but must not pass for the whole file."""
    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}/api/"
    root = json.dumps(
        {"templates": {"files-template": base + "events/{graceid}/files/{filename}"}, "links": {}}
    ).encode()

    def serve() -> None:
        for body, length in ((root, len(root)), (b"half", 8)):
            connection, _ = listening.accept()
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % length + body)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(GraceDBUnreachable, match=r"download coinc\.xml of G1"):
        GraceDB(make_client(GraceDBSettings(base, "none"))).download("G1", "coinc.xml")
    thread.join()


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_an_expired_token_is_waited_for(harness: Harness, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    harness.settle(1.0)
    graceid = harness.upload(nature=False)
    client = harness.runtime.gracedb().client
    real = client.request

    def refused(*args: Any, **kwargs: Any) -> Any:
        response = requests.Response()
        response.status_code = status
        response._content = b"try later"
        response.headers["Retry-After"] = "²"
        raise requests.HTTPError("refused", response=response)

    monkeypatch.setattr(client, "request", refused)
    harness.settle(100.0)
    assert harness.dead() == []
    monkeypatch.setattr(client, "request", real)
    harness.settle(200.0)
    assert harness.superevents()[0]["gw_events"] == [graceid]


def test_a_submission_that_was_given_up_can_be_retried(harness: Harness) -> None:
    graceid = harness.upload(nature=False)
    content = harness.server.store.file(graceid, "coinc.xml", 0)
    harness.server.store._db.execute("DELETE FROM files")
    harness.settle()
    assert harness.states("jobs")[f"{graceid}/localize"] == "FAILED"
    harness.server.store._db.execute("INSERT INTO files VALUES (?, 'coinc.xml', 0, ?)", (graceid, content))
    with harness.ledger.transaction() as tx:
        assert retry_dead(tx) == 1
    harness.settle()
    assert harness.states("jobs")[f"{graceid}/localize"] == "DONE"


def test_a_late_update_does_not_take_gracedb_back_in_time(harness: Harness) -> None:
    first, second = harness.upload(), harness.upload("pycbc", far=3e-9)
    harness.settle()
    (row,) = harness.ledger.read("SELECT key, graceid FROM superevents")
    harness.server.client.update_superevent(row["graceid"], preferred_event=second)
    harness.settle()
    late = UpdateSuperevent(row["key"], {"preferred": first}, occasion="late")
    with harness.ledger.transaction() as tx:
        effects.request(tx, late, 0.0)
    harness.settle()
    assert harness.superevents()[0]["preferred_event"] == second


def test_products_follow_a_preferred_event_that_changes_there_and_back(harness: Harness) -> None:
    first, second = harness.upload(), harness.upload("pycbc", far=3e-9)
    harness.settle()
    sid = harness.superevents()[0]["superevent_id"]
    for preferred in (second, first):
        harness.server.client.update_superevent(sid, preferred_event=preferred)
        harness.settle()
        assert harness.server.client.files(sid, MAP).read().decode() == f"localize of {preferred}/localize/1"
    assert [name for name in harness.files(sid) if name.startswith(MAP)] == [f"{MAP},{n}" for n in range(3)]


def test_silence_does_not_put_a_deadline_off(harness: Harness) -> None:
    harness.scheduler.script = lambda request: (Step(0, JobState.RUNNING),)
    harness.with_annotation(max_attempts=1)
    harness.upload()
    harness.settle(1.0)
    for _ in range(8):
        harness.scheduler.reachable = False
        harness.settle(5.0)
        harness.scheduler.reachable = True
        harness.settle(5.0)
    assert harness.states("jobs")["G0001/localize"] == "FAILED"


def test_timers_of_handlers_that_are_gone_are_forgotten(ledger: Ledger) -> None:
    from gwbatch.dispatcher.service import set_timers

    with declaring() as registry, ledger.transaction() as tx:
        every(60)(lambda tick: None)
        set_timers(tx, registry, 0.0)
        assert timers.next_due(tx) == 60.0
    with ledger.transaction() as tx:
        set_timers(tx, Registry(), 0.0)
        assert timers.next_due(tx) is None


HANGING = """
import time
import gwbatch.dispatcher.service as service
from gwbatch import effects, igwn_alert

service.HANDLER_LIMIT = 1.0


@igwn_alert.handler("cbc_test")
def hang(alert):
    if alert["n"] == 0:
        time.sleep(600)
    return effects.log("G1", "x", key=str(alert["n"]))
"""


def test_a_handler_that_hangs_is_found_out_and_the_rest_flows(tmp_path: Path) -> None:
    """The process exits every time the handler hangs; after three times the message becomes a dead letter."""
    (tmp_path / "hanging.py").write_text(HANGING)
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"topic": "cbc_test", "payload": {"n": n}}) for n in range(4))
    )
    state = ["--state", str(tmp_path / "state"), "--set", 'plugins=["hanging"]']
    state += ["--set", f'plugin_folders=["{tmp_path}"]']
    environment = dict(os.environ)
    ledger = Ledger(tmp_path / "state/ledger.sqlite", create=True)
    run = [sys.executable, "-m", "gwbatch"]
    subprocess.run(
        [*run, "replay", str(tmp_path / "a.jsonl"), *state], check=True, env=environment, capture_output=True
    )
    codes = []
    for _ in range(3):
        done = subprocess.run([*run, "run", *state], env=environment, capture_output=True, timeout=60, check=False)
        codes.append(done.returncode)
    assert codes == [70, 70, 70]
    last = subprocess.Popen([*run, "run", *state], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            states = [row["state"] for row in ledger.read("SELECT state FROM deliveries ORDER BY id")]
            if states == ["dead", "done", "done", "done"]:
                break
            threading.Event().wait(0.05)
        assert states == ["dead", "done", "done", "done"]
    finally:
        last.terminate()
        assert last.wait(30) == 0
    assert len(ledger.read("SELECT * FROM effects")) == 3
    ledger.close()
