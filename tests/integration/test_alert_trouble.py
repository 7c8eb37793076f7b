"""Public alerts when answers are lost, servers lack things, and hands are slow: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
import requests

from gwbatch import gracedb
from gwbatch.errors import TransientError
from gwbatch.executors.notices.producer import Publisher
from gwbatch.failpoints import hit
from tests.integration.alert_rig import AlertRig
from tests.integration.brokers import BrokerProcess

PRELIMINARY, INITIAL, RETRACTION = ("PRELIMINARY", True), ("INITIAL", True), ("RETRACTION", None)


@pytest.fixture(name="rig")
def _rig(alerting: AlertRig) -> AlertRig:
    return alerting


def once_per_identity(rig: AlertRig) -> None:
    for broker in ("gcn", "scimma"):
        counts = Counter(one.headers["_id"] for one in rig.received(broker))
        assert set(counts.values()) == {1}, broker


def test_a_broker_whose_answer_is_lost_is_asked_what_it_has(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    real, lost = Publisher.send, []

    def send(self: Publisher, key: str, body: bytes, headers: dict[str, bytes], partition: int) -> Any:
        place = real(self, key, body, headers, partition)
        if (self._name, headers["_id"]) not in lost:
            lost.append((self._name, headers["_id"]))
            raise TransientError("the answer is lost")
        return place

    monkeypatch.setattr(Publisher, "send", send)
    rig.upload()
    rig.settle(300)
    assert len(lost) == 4
    assert rig.kinds() == rig.kinds("scimma") == [PRELIMINARY, PRELIMINARY]
    once_per_identity(rig)
    rows = rig.ledger.read("SELECT result FROM effects WHERE kind = 'notice.publish'")
    assert all(json.loads(row["result"])["found"] for row in rows)


def test_every_answer_of_gracedb_is_lost_once(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    real, lost = gracedb._TimeoutAdapter.send, set()

    def send(self: Any, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = real(self, request, *args, **kwargs)
        if request.method != "GET" and (request.method, request.url, str(request.body)[:2000]) not in lost:
            lost.add((request.method, request.url, str(request.body)[:2000]))
            response.close()
            raise requests.ConnectionError("the answer is lost")
        return response

    graceid = rig.upload()
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", send)
    rig.settle(20)
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", real)
    rig.server.client.create_signoff(rig.sid, "ADV", "NO", "")
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", send)
    rig.settle(30)
    monkeypatch.setattr(gracedb._TimeoutAdapter, "send", real)
    assert len(lost) > 8
    assert rig.kinds() == rig.kinds("scimma") == [PRELIMINARY, RETRACTION]
    once_per_identity(rig)
    stored = [one["notice_type"] for one in rig.server.client.notices(rig.sid).json()["notices"]]
    assert stored == ["PR", "RE"]
    files = rig.files(rig.sid)
    assert [name for name in files if name.startswith((rig.sid, "preliminary-circular"))] == [
        f"{rig.sid}-1-preliminary.json,0",
        f"{rig.sid}-2-retraction.json,0",
        f"{rig.sid}-preliminary.avro,0",
        f"{rig.sid}-preliminary.json,0",
        f"{rig.sid}-retraction.avro,0",
        f"{rig.sid}-retraction.json,0",
        "preliminary-circular.txt,0",
    ]
    assert graceid in rig.superevent()["gw_events"]


def test_a_server_that_keeps_no_notices_has_its_files(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.settle(0.5)
    client = rig.runtime.gracedb().client

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("This GraceDB server does not advertise notice endpoints")

    monkeypatch.setattr(client, "create_notice", refuse)
    rig.upload()
    rig.settle(5)
    assert rig.notices() == [("preliminary", "stored")]
    assert "GCN_PRELIM_SENT" in rig.superevent()["labels"]
    assert f"{rig.sid}-preliminary.json,0" in rig.files(rig.sid)
    assert not rig.dead()


def test_a_retraction_follows_a_preliminary_that_still_waits(rig: AlertRig) -> None:
    """ADVNO in between: what is not frozen yet is not sent any more, and the retraction does not wait for it."""
    graceid = rig.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        rig.server.client.write_label(graceid, label)
    rig.wait(5)
    assert rig.notices() == [("preliminary", "planned")]
    rig.server.client.create_signoff(rig.sid, "ADV", "NO", "")
    rig.wait(3)
    assert rig.notices() == [("preliminary", "refused"), ("retraction", "stored")]
    assert rig.kinds() == [RETRACTION]


def test_a_retraction_follows_a_preliminary_that_is_frozen(rig: AlertRig, brokers: dict[str, BrokerProcess]) -> None:
    brokers["gcn"].do(b"!down")
    try:
        rig.upload()
        rig.settle(3)
        rig.server.client.create_signoff(rig.sid, "ADV", "NO", "")
        rig.settle(3)
        assert rig.kinds("scimma") == [PRELIMINARY, RETRACTION]
    finally:
        brokers["gcn"].do(b"!up")
    rig.settle(60)
    assert rig.kinds("gcn") == [PRELIMINARY, RETRACTION]
    once_per_identity(rig)


def test_a_preferred_event_that_changes_while_a_notice_is_written_starts_it_over(
    rig: AlertRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.executors.notices import freezing

    def change(point: str) -> None:
        if point == "notice.before_freeze" and not changed:
            changed.append(point)
            with rig.ledger.transaction() as tx:
                tx.execute("UPDATE superevents SET t_0 = t_0 + 1")
        hit(point)

    changed: list[str] = []
    monkeypatch.setattr(freezing, "hit", change)
    rig.upload()
    rig.settle(5)
    (one,) = rig.received()
    assert changed
    assert one.notice["event"]["time"] == "2012-08-26T00:13:59.485Z"  # with the new t_0
    assert rig.ledger.read("SELECT attempts FROM effects WHERE kind = 'notice.freeze'")[0]["attempts"] > 1


def test_an_automatic_notice_that_comes_hours_late_waits_for_a_person(rig: AlertRig) -> None:
    graceid = rig.upload(nature=False)
    rig.wait(3)
    rig.set_policy(oldest=30.0, wait={"em_bright.json": 1e6, "p_astro.json": 1e6})
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        rig.server.client.write_label(graceid, label)
    rig.wait(20)
    assert rig.notices() == [("preliminary", "planned")]
    rig.wait(20)
    assert rig.notices() == [("preliminary", "refused")]
    assert "order it: gwbatch alerts send" in rig.reasons()[0]


def test_a_plugins_alert_kind_is_one_declaration(rig: AlertRig) -> None:
    from gwbatch.alerts import KINDS, AlertKind, declare

    declare(AlertKind("pe-update", "UPDATE", label="PE_READY"))
    try:
        rig.upload()
        rig.settle(3)
        rig.server.client.write_label(rig.sid, "PE_READY")
        rig.settle(3)
        assert rig.kinds() == [PRELIMINARY, ("UPDATE", True)]
        assert rig.notices()[-1] == ("pe-update", "stored")
    finally:
        del KINDS["pe-update"]


def test_a_repeated_alert_asks_for_nothing_twice(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(3)
    for seq, topic, payload in rig.server.store.alerts_after(0):
        value = json.loads(payload)
        if value["alert_type"] == "label_added":
            rig.deliver(topic, json.dumps({**value, "again": seq}).encode(), rig.clock.now())
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY]


def test_a_broker_that_gives_no_answer_holds_up_one_worker_only(
    rig: AlertRig, brokers: dict[str, BrokerProcess]
) -> None:
    """One notice waits for its answer; the others are put off at once, and all arrive when it is back."""
    from gwbatch.executors.notices.producer import publisher

    brokers["gcn"].do(b"!down")
    try:
        rig.upload()
        rig.settle(3)
        broker = publisher("gcn", rig.profile.alerts.brokers["gcn"])
        with suppress(TransientError), broker.turn():
            said = _refused(broker)
            raise TransientError("no answer")
        assert said.endswith("another notice waits for one already. (1 s)")
    finally:
        brokers["gcn"].do(b"!up")
    rig.settle(60)
    assert rig.kinds("gcn") == [PRELIMINARY]


def _refused(broker: Publisher) -> str:
    """What a second notice is told while the first waits."""
    try:
        with broker.turn():
            return ""
    except TransientError as error:
        return f"{error} ({error.retry_after:g} s)"


def test_a_notice_that_another_instance_has_sent_is_not_sent_again(rig: AlertRig) -> None:
    """The ledger was lost, or somebody else runs beside us: the label of the first one tells."""
    graceid = rig.upload(nature=False)
    rig.settle(2)
    rig.server.client.write_label(rig.sid, "GCN_PRELIM_SENT")
    rig.settle(1)
    for name, value in (("gstlal.p_astro.json", "{}"), ("em_bright.json", "{}")):
        rig.server.client.write_log(graceid, name, filename=name, filecontents=value)
    rig.settle(5)
    assert "SIGNIF_LOCKED" in rig.superevent()["labels"]
    assert rig.kinds() == []
    rows = rig.ledger.read("SELECT reason FROM decisions WHERE action = 'no_notice' ORDER BY id")
    assert rows[0]["reason"] == "not planned: the superevent bears GCN_PRELIM_SENT"


def test_a_veto_that_goes_while_a_refusal_is_written_down_refuses_nothing(
    rig: AlertRig, monkeypatch: pytest.MonkeyPatch
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
    rig.upload()
    rig.settle(5)
    assert stale
    assert rig.kinds() == [PRELIMINARY]


def test_a_stop_while_a_notice_is_in_doubt_does_not_hide_that_it_was_sent(
    rig: AlertRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.ledger import alert_switch

    real = Publisher.send

    def send(self: Publisher, *args: Any) -> Any:
        real(self, *args)
        with rig.ledger.transaction() as tx:
            alert_switch.stop(tx, "me", "", rig.clock.now())
        raise TransientError("the answer is lost")

    monkeypatch.setattr(Publisher, "send", send)
    rig.upload()
    rig.settle(5)
    states = {row["broker"]: row["state"] for row in rig.ledger.read("SELECT broker, state FROM public_sends")}
    assert sorted(states.values()) == ["delivered", "withheld"]  # the first was in doubt, the second never begun
    assert len(rig.kinds()) + len(rig.kinds("scimma")) == 1


# ---- a lost ledger -----------------------------------------------------------------------------------------


def lose_the_ledger(rig: AlertRig) -> AlertRig:
    """A dispatcher begins with nothing but what GraceDB and the topics of the alerts hold, from their beginning."""
    rig.ledger.close()
    again = AlertRig(rig.folder.with_name("again"), rig.server, rig.brokers)
    again.topic = rig.topic
    again.set_alerts()
    again.clock.advance(rig.clock.now() - again.clock.now())
    return again


def test_after_a_lost_ledger_nothing_is_sent_again(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(300)
    rig.server.client.create_signoff(rig.sid, "ADV", "OK", "")
    rig.settle(5)
    sent = [PRELIMINARY, PRELIMINARY, INITIAL]
    assert rig.kinds() == sent
    again = lose_the_ledger(rig)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == sent
    known = ["preliminary", "second-preliminary", "initial-2"]
    assert again.notices() == [("initial", "refused"), *((name, "stored") for name in known)]
    assert again.reasons()[0] == "GraceDB has it already, found in GraceDB as notice 3"
    assert not again.dead()
    stored = [one["notice_type"] for one in again.server.client.notices(again.sid).json()["notices"]]
    assert stored == ["PR", "PR", "IN"]
    # What comes next goes out as ever.
    again.server.client.update_signoff(again.sid, "ADV", "NO", "")
    again.settle(5)
    assert again.kinds() == [*sent, RETRACTION]
    again.ledger.close()


def test_a_ledger_lost_between_the_two_notices_still_brings_the_second(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(20)
    assert rig.kinds() == [PRELIMINARY]
    again = lose_the_ledger(rig)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == [PRELIMINARY, PRELIMINARY]
    assert ("second-preliminary", "stored") in again.notices()
    again.ledger.close()


def test_a_server_that_cannot_say_what_was_sent_stops_no_notice(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A superevent that somebody else made, and notices that GraceDB does not tell us: after a while ours goes out."""
    rig.settle(0.5)
    client = rig.runtime.gracedb().client

    def away(*args: Any, **kwargs: Any) -> Any:
        raise requests.ConnectionError("nobody answers")

    monkeypatch.setattr(client, "notices", away)
    graceid = rig.upload()
    event = rig.server.client.event(graceid).json()
    time = event["gpstime"]
    rig.server.client.create_superevent(time - 1, time, time + 1, graceid)
    rig.settle(30)
    assert rig.kinds() == [PRELIMINARY]


# ---- what nobody expects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["freezing.collect", "publishing.publisher"])
def test_an_error_that_nobody_expects_loses_no_notice(
    rig: AlertRig, monkeypatch: pytest.MonkeyPatch, step: str
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
    rig.upload()
    rig.settle(60)
    assert rig.kinds() == rig.kinds("scimma") == [PRELIMINARY]
    once_per_identity(rig)
    assert not rig.dead()


def test_threads_that_ask_a_broker_first_at_the_same_time_do_not_trip() -> None:
    """What asking for metadata imports is there before any thread asks."""
    import subprocess
    import sys

    program = "import sys, gwbatch.executors.notices.producer; print('confluent_kafka.admin' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"
