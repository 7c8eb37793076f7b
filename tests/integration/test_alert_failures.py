"""Public alerts when replies are lost, servers lack features or people are slow: none is lost or sent twice."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import requests

from gwbatch import gracedb
from gwbatch.errors import TransientError
from gwbatch.executors.notices import producer
from gwbatch.executors.notices.producer import Publisher, forget_publishers, publisher
from gwbatch.executors.notices.publishing import connect
from gwbatch.failpoints import hit
from tests.integration.alert_harness import AlertHarness
from tests.integration.brokers import BrokerProcess

PRELIMINARY, INITIAL, RETRACTION = ("PRELIMINARY", True), ("INITIAL", True), ("RETRACTION", None)


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    return alerting


def once_per_identity(harness: AlertHarness) -> None:
    for broker in ("gcn", "scimma"):
        counts = Counter(one.headers["_id"] for one in harness.received(broker))
        assert set(counts.values()) == {1}, broker


def test_a_broker_whose_answer_is_lost_is_asked_what_it_has(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = Publisher.send, []

    def send(self: Publisher, key: str, body: bytes, headers: dict[str, bytes], partition: int) -> Any:
        place = real(self, key, body, headers, partition)
        if (self._name, headers["_id"]) not in lost:
            lost.append((self._name, headers["_id"]))
            raise TransientError("the answer is lost")
        return place

    monkeypatch.setattr(Publisher, "send", send)
    harness.upload()
    harness.settle(300)
    assert len(lost) == 4
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY, PRELIMINARY]
    once_per_identity(harness)
    rows = harness.ledger.read("SELECT result FROM effects WHERE kind = 'notice.publish'")
    assert all(json.loads(row["result"])["found"] for row in rows)


def test_every_answer_of_gracedb_is_lost_once(harness: AlertHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    real, lost = gracedb._TimeoutAdapter.send, set()

    def send(self: Any, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = real(self, request, *args, **kwargs)
        if request.method != "GET" and (request.method, request.url, str(request.body)[:2000]) not in lost:
            lost.add((request.method, request.url, str(request.body)[:2000]))
            response.close()
            raise requests.ConnectionError("the answer is lost")
        return response

    graceid = harness.upload()
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", send)
    harness.settle(20)
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", real)
    harness.server.client.create_signoff(harness.sid, "ADV", "NO", "")
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", send)
    harness.settle(30)
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", real)
    assert len(lost) > 8
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY, RETRACTION]
    once_per_identity(harness)
    stored = [one["notice_type"] for one in harness.server.client.notices(harness.sid).json()["notices"]]
    assert stored == ["PR", "RE"]
    files = harness.files(harness.sid)
    assert [name for name in files if name.startswith((harness.sid, "preliminary-circular"))] == [
        f"{harness.sid}-1-preliminary.json,0",
        f"{harness.sid}-2-retraction.json,0",
        f"{harness.sid}-preliminary.avro,0",
        f"{harness.sid}-preliminary.json,0",
        f"{harness.sid}-retraction.avro,0",
        f"{harness.sid}-retraction.json,0",
        "preliminary-circular.txt,0",
    ]
    assert graceid in harness.superevent()["gw_events"]


def test_a_server_that_keeps_no_notices_has_its_files(harness: AlertHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.settle(0.5)
    client = harness.runtime.gracedb().client

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("This GraceDB server does not advertise notice endpoints")

    monkeypatch.setattr(client, "create_notice", refuse)
    harness.upload()
    harness.settle(5)
    assert harness.notices() == [("preliminary", "stored")]
    assert "GCN_PRELIM_SENT" in harness.superevent()["labels"]
    assert f"{harness.sid}-preliminary.json,0" in harness.files(harness.sid)
    assert not harness.dead()


def test_a_retraction_follows_a_preliminary_that_still_waits(harness: AlertHarness) -> None:
    """After ADVNO, a notice that is not yet frozen is no longer sent, and the retraction does not wait for it."""
    graceid = harness.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        harness.server.client.write_label(graceid, label)
    harness.wait(5)
    assert harness.notices() == [("preliminary", "planned")]
    harness.server.client.create_signoff(harness.sid, "ADV", "NO", "")
    harness.wait(3)
    assert harness.notices() == [("preliminary", "refused"), ("retraction", "stored")]
    assert harness.kinds() == [RETRACTION]


def test_a_retraction_follows_a_preliminary_that_is_frozen(
    harness: AlertHarness, brokers: dict[str, BrokerProcess]
) -> None:
    brokers["gcn"].do(b"!down")
    try:
        harness.upload()
        harness.settle(3)
        harness.server.client.create_signoff(harness.sid, "ADV", "NO", "")
        harness.settle(3)
        assert harness.kinds("scimma") == [PRELIMINARY, RETRACTION]
    finally:
        brokers["gcn"].do(b"!up")
    harness.settle(60)
    assert harness.kinds("gcn") == [PRELIMINARY, RETRACTION]
    once_per_identity(harness)


def test_a_preferred_event_that_changes_while_a_notice_is_written_starts_it_over(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.executors.notices import freezing

    def change(point: str) -> None:
        if point == "notice.before_freeze" and not changed:
            changed.append(point)
            with harness.ledger.transaction() as tx:
                tx.execute("UPDATE superevents SET t_0 = t_0 + 1")
        hit(point)

    changed: list[str] = []
    monkeypatch.setattr(freezing, "hit", change)
    harness.upload()
    harness.settle(5)
    (one,) = harness.received()
    assert changed
    assert one.notice["event"]["time"] == "2012-08-26T00:13:59.485Z"  # with the new t_0
    assert harness.ledger.read("SELECT attempts FROM effects WHERE kind = 'notice.freeze'")[0]["attempts"] > 1


def test_an_automatic_notice_that_comes_hours_late_waits_for_a_person(harness: AlertHarness) -> None:
    graceid = harness.upload(nature=False)
    harness.wait(3)
    harness.set_policy(oldest=30.0, wait={"em_bright.json": 1e6, "p_astro.json": 1e6})
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        harness.server.client.write_label(graceid, label)
    harness.wait(20)
    assert harness.notices() == [("preliminary", "planned")]
    harness.wait(20)
    assert harness.notices() == [("preliminary", "refused")]
    assert "order it: gwbatch alerts send" in harness.reasons()[0]


def test_a_plugins_alert_kind_is_one_declaration(harness: AlertHarness) -> None:
    from gwbatch.alerts import KINDS, AlertKind, declare

    declare(AlertKind("pe-update", "UPDATE", label="PE_READY"))
    try:
        harness.upload()
        harness.settle(3)
        harness.server.client.write_label(harness.sid, "PE_READY")
        harness.settle(3)
        assert harness.kinds() == [PRELIMINARY, ("UPDATE", True)]
        assert harness.notices()[-1] == ("pe-update", "stored")
    finally:
        del KINDS["pe-update"]


def test_a_repeated_alert_asks_for_nothing_twice(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(3)
    for seq, topic, payload in harness.server.store.alerts_after(0):
        value = json.loads(payload)
        if value["alert_type"] == "label_added":
            harness.deliver(topic, json.dumps({**value, "again": seq}).encode(), harness.clock.now())
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY]


def test_a_broker_that_gives_no_answer_holds_up_one_worker_only(
    harness: AlertHarness, brokers: dict[str, BrokerProcess]
) -> None:
    """One notice waits for the broker. The others are deferred at once, and all arrive when the broker is back."""
    from gwbatch.executors.notices.producer import publisher

    brokers["gcn"].do(b"!down")
    try:
        harness.upload()
        harness.settle(3)
        broker = publisher("gcn", harness.profile.alerts.brokers["gcn"])
        with suppress(TransientError), broker.turn():
            said = _refused(broker)
            raise TransientError("no answer")
        assert said.endswith("another notice is already waiting. (1 s)")
    finally:
        brokers["gcn"].do(b"!up")
    harness.settle(60)
    assert harness.kinds("gcn") == [PRELIMINARY]


def _refused(broker: Publisher) -> str:
    """Return the error that a second notice gets while the first waits, or an empty string."""
    try:
        with broker.turn():
            return ""
    except TransientError as error:
        return f"{error} ({error.retry_after:g} s)"


def test_a_notice_that_another_instance_has_sent_is_not_sent_again(harness: AlertHarness) -> None:
    """Its label shows that it was sent, even if the ledger was lost or another instance sent it."""
    graceid = harness.upload(nature=False)
    harness.settle(2)
    harness.server.client.write_label(harness.sid, "GCN_PRELIM_SENT")
    harness.settle(1)
    for name, value in (("gstlal.p_astro.json", "{}"), ("em_bright.json", "{}")):
        harness.server.client.write_log(graceid, name, filename=name, filecontents=value)
    harness.settle(5)
    assert "SIGNIF_LOCKED" in harness.superevent()["labels"]
    assert harness.kinds() == []
    rows = harness.ledger.read("SELECT reason FROM decisions WHERE action = 'no_notice' ORDER BY id")
    assert rows[0]["reason"] == "not planned: the superevent is labelled GCN_PRELIM_SENT"


def test_a_veto_that_goes_while_a_refusal_is_written_down_refuses_nothing(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from gwbatch.executors.notices import freezing

    real, stale = freezing.look, []

    def look(*args: Any) -> Any:
        seen = real(*args)
        if stale or seen is None:
            return seen
        stale.append(seen)
        return replace(seen, superevent=replace(seen.superevent, labels=("DQV",)))

    monkeypatch.setattr(freezing, "look", look)
    harness.upload()
    harness.settle(5)
    assert stale
    assert harness.kinds() == [PRELIMINARY]


def test_a_stop_while_a_notice_is_in_doubt_does_not_hide_that_it_was_sent(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.ledger import alert_switch

    real = Publisher.send

    def send(self: Publisher, *args: Any) -> Any:
        real(self, *args)
        with harness.ledger.transaction() as tx:
            alert_switch.stop(tx, "me", "", harness.clock.now())
        raise TransientError("the answer is lost")

    monkeypatch.setattr(Publisher, "send", send)
    harness.upload()
    harness.settle(5)
    states = {row["broker"]: row["state"] for row in harness.ledger.read("SELECT broker, state FROM public_sends")}
    assert sorted(states.values()) == ["delivered", "withheld"]  # the first was in doubt, the second never started
    assert len(harness.kinds()) + len(harness.kinds("scimma")) == 1


# ---- a lost ledger -----------------------------------------------------------------------------------------


def lose_the_ledger(harness: AlertHarness) -> AlertHarness:
    """Start a dispatcher with an empty ledger; it reads GraceDB and all its alerts from the beginning."""
    harness.ledger.close()
    again = AlertHarness(harness.folder.with_name("again"), harness.server, harness.brokers)
    again.topic = harness.topic
    again.set_alerts()
    again.clock.advance(harness.clock.now() - again.clock.now())
    return again


def test_after_a_lost_ledger_nothing_is_sent_again(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(300)
    harness.server.client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.settle(5)
    sent = [PRELIMINARY, PRELIMINARY, INITIAL]
    assert harness.kinds() == sent
    again = lose_the_ledger(harness)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == sent
    known = ["preliminary", "second-preliminary", "initial-2"]
    assert again.notices() == [("initial", "refused"), *((name, "stored") for name in known)]
    assert again.reasons()[0] == "GraceDB already has it, found in GraceDB as notice 3"
    assert not again.dead()
    stored = [one["notice_type"] for one in again.server.client.notices(again.sid).json()["notices"]]
    assert stored == ["PR", "PR", "IN"]
    # Later notices go out as usual.
    again.server.client.update_signoff(again.sid, "ADV", "NO", "")
    again.settle(5)
    assert again.kinds() == [*sent, RETRACTION]
    again.ledger.close()


def test_a_ledger_lost_between_the_two_notices_still_brings_the_second(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(20)
    assert harness.kinds() == [PRELIMINARY]
    again = lose_the_ledger(harness)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == [PRELIMINARY, PRELIMINARY]
    assert ("second-preliminary", "stored") in again.notices()
    again.ledger.close()


def test_a_server_that_cannot_say_what_was_sent_stops_no_notice(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If somebody else made the superevent and GraceDB cannot list its notices, ours goes out after a while."""
    harness.settle(0.5)
    client = harness.runtime.gracedb().client

    def away(*args: Any, **kwargs: Any) -> Any:
        raise requests.ConnectionError("nobody answers")

    monkeypatch.setattr(client, "notices", away)
    graceid = harness.upload()
    event = harness.server.client.event(graceid).json()
    time = event["gpstime"]
    harness.server.client.create_superevent(time - 1, time, time + 1, graceid)
    harness.settle(30)
    assert harness.kinds() == [PRELIMINARY]


# ---- unexpected errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["freezing.collect", "publishing.publisher"])
def test_an_error_that_nobody_expects_loses_no_notice(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from importlib import import_module

    module, _, name = step.partition(".")
    place = import_module(f"gwbatch.executors.notices.{module}")
    real, tries = getattr(place, name), []

    def strange(*args: Any, **kwargs: Any) -> Any:
        tries.append(name)
        if len(tries) <= 3:
            raise ImportError("Module not found")
        return real(*args, **kwargs)

    monkeypatch.setattr(place, name, strange)
    harness.upload()
    harness.settle(60)
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY]
    once_per_identity(harness)
    assert not harness.dead()


def test_the_dispatcher_connects_before_the_first_notice_and_a_broker_that_is_down_stops_nothing(
    harness: AlertHarness, brokers: dict[str, BrokerProcess]
) -> None:
    forget_publishers()
    brokers["gcn"].do(b"!down")
    try:
        connect(harness.profile)
    finally:
        brokers["gcn"].do(b"!up")
    assert {name for name, _ in producer._publishers} == {"scimma", "gcn"}
    assert publisher("scimma", harness.profile.alerts.brokers["scimma"])._partitions == 4, "it was asked"
    harness.upload()
    harness.settle(300)
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY, PRELIMINARY]


def test_threads_that_ask_a_broker_first_at_the_same_time_do_not_trip() -> None:
    """The module that the first metadata request imports is loaded before any thread makes a request."""
    import subprocess
    import sys

    program = "import sys, gwbatch.executors.notices.producer; print('confluent_kafka.admin' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
