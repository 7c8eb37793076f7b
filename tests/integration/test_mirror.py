"""The mirror, which stays correct when other people or GraceDB itself change superevents."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gwbatch.config.policy import Policy, load_policy, policy_from
from gwbatch.config.profile import GraceDBSettings, Profile
from gwbatch.dispatcher.replay import replay
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.ledger import Ledger
from gwbatch.orchestrator import superevents as lane
from gwbatch.superevents import Alert
from tests import alerts
from tests.integration.harness import Harness


def superevent(sid: str = "S1", preferred: str = "G0", **more: Any) -> dict[str, Any]:
    base = {"superevent_id": sid, "category": "Production", "preferred_event": preferred, "labels": []}
    return {**base, "t_start": 1e9 - 5, "t_0": 1e9, "t_end": 1e9 + 5, "gw_events": [preferred], **more}


def about(data: dict[str, Any], alert_type: str = "new", name: str = "") -> dict[str, Any]:
    payload = {"uid": data["superevent_id"], "alert_type": alert_type, "object": data, "data": {"name": name}}
    return {"topic": "superevent", "payload": payload}


def of(data: dict[str, Any], name: str = "") -> dict[str, Any]:
    return {"topic": "cbc_gstlal", "payload": alerts.label_added(data, name) if name else alerts.new(data)}


def final(*lines: dict[str, Any], policy: Policy | None = None) -> list[dict[str, Any]]:
    encoded = [json.dumps(line).encode() for line in lines]
    found: list[dict[str, Any]] = json.loads(list(replay(encoded, policy or load_policy()))[-1])["final"]
    return found


def test_our_superevent_and_the_servers_of_the_same_name_become_one() -> None:
    """We clustered G1 ourselves. Then the server reports that G1 and G2 belong to the same superevent."""
    g1, g2 = alerts.event("G1", 1e9), alerts.event("G2", 1e9 + 50)
    named = {"superevent": "S1"}
    (one,) = final(of(g1), of({**g2, **named}), of({**g1, **named, "labels": alerts.COMPLETE[:2]}, "SKYMAP_READY"))
    assert sorted(one["events"]) == ["G1", "G2"]
    assert one["superevent_id"] == "S1"
    assert "EM_READY" in one["labels"]


def test_a_create_that_finds_the_event_in_a_known_superevent_merges(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        context = Context(tx, load_policy(), Profile(), 1e9, live=False)
        lane.decide(Alert.parse(alerts.new(alerts.event("G1", 1e9))), context)
        lane.decide(Alert.parse(alerts.new(alerts.event("G2", 1e9 + 50, superevent="S1"))), context)
        context.mirror.name_superevent("S@G1", "S1", 1.0)
        merged = context.mirror.superevent("S@G1")
        assert merged is not None
        assert (merged.key, sorted(merged.events)) == ("S1", ["G1", "G2"])
        assert context.mirror.superevent_of("G1") == merged


def test_somebody_elses_superevent_is_known_before_its_events_come() -> None:
    """Its window does not shrink, its lock is respected, and its unknown preferred event is not replaced."""
    locked = superevent(labels=["LOW_SIGNIF_LOCKED"])
    better = alerts.event("G2", 1e9 - 2, 1e-20, snr=50.0, superevent="S1")
    (one,) = final(about(locked), of(better))
    assert (one["t_start"], one["t_end"], one["preferred"]) == (1e9 - 5, 1e9 + 5, "G0")
    (one,) = final(about(superevent()), of(better))
    assert one["preferred"] == "G0"
    weak = alerts.event("G0", 1e9, 1e-5, snr=5.0)
    (one,) = final(about(superevent(preferred_event_data=weak)), of(better))
    assert one["preferred"] == "G2"


def test_a_window_that_the_server_keeps_is_not_written_by_us(ledger: Ledger) -> None:
    profile = Profile(gracedb=GraceDBSettings("http://127.0.0.1:1/api/", "none"))
    with ledger.transaction() as tx:
        context = Context(tx, load_policy(), profile, 2e9, message_id=1)
        list(lane.handle_event(alerts.new(alerts.event("G1", 1e9, superevent="S1")), context))
        wanted = list(
            lane.handle_event(alerts.new(alerts.event("G2", 1e9 + 3, 1e-12, snr=20.0, superevent="S1")), context)
        )
    (update,) = [effect for effect in wanted if effect.kind == "gracedb.update_superevent"]
    assert update.changes == {"preferred": "G2", "t_0": 1e9 + 3}


def test_labels_taken_away_by_others_are_gone_and_an_old_snapshot_takes_none() -> None:
    complete = of({**alerts.event("G1"), "labels": alerts.COMPLETE[:2]}, "SKYMAP_READY")
    stale = about(superevent(preferred="G1", labels=[]), "update")
    (one,) = final(complete, stale)
    assert one["labels"] == ["EM_READY", "ADVREQ", "SIGNIF_LOCKED", "LOW_SIGNIF_LOCKED"]
    (one,) = final(complete, about(superevent(preferred="G1"), "label_removed", "LOW_SIGNIF_LOCKED"))
    assert one["labels"] == ["EM_READY", "ADVREQ", "SIGNIF_LOCKED"]


def test_a_label_that_was_taken_away_can_be_set_again(harness: Harness) -> None:
    harness.upload()
    harness.settle()
    sid = harness.superevents()[0]["superevent_id"]
    harness.server.client.remove_label(sid, "EM_READY")
    harness.settle()
    assert "EM_READY" not in harness.superevents()[0]["labels"]
    harness.upload("pycbc", far=2e-9)
    harness.settle()
    assert "EM_READY" in harness.superevents()[0]["labels"]


def test_members_added_and_removed_by_others_are_followed(harness: Harness) -> None:
    first, second = harness.upload(nature=False), harness.upload("pycbc", nature=False)
    harness.settle()
    sid = harness.superevents()[0]["superevent_id"]
    harness.server.client.remove_event_from_superevent(sid, second)
    harness.settle()
    assert [
        row["graceid"] for row in harness.ledger.read("SELECT graceid FROM events WHERE superevent IS NOT NULL")
    ] == [first]
    harness.server.client.add_event_to_superevent(sid, second)
    harness.settle()
    assert len(harness.ledger.read("SELECT graceid FROM events WHERE superevent IS NOT NULL")) == 2


def test_a_superevent_of_another_server_is_refused(ledger: Ledger) -> None:
    profile = Profile(gracedb=GraceDBSettings("https://a.example.org/api/", "none"))
    with ledger.transaction() as tx:
        context = Context(tx, load_policy(), profile, 2e9)
        lane.decide(Alert.parse(alerts.new(alerts.event("G1", superevent="S1"))), context)
        data = superevent(preferred="G7", links={"self": "https://b.example.org/api/superevents/S1/"})
        assert list(lane.handle_superevent(about(data, "update")["payload"], context)) == []
        known = context.mirror.superevent_named("S1")
        assert known is not None
        assert known.preferred == "G1"


@pytest.mark.parametrize(
    "wrong", [{"t_0": float("nan")}, {"t_end": 10**400}, {"preferred_event": "../../x"}, {"superevent_id": "a/b"}]
)
def test_superevents_that_cannot_be_meant_are_dead_letters(ledger: Ledger, wrong: dict[str, Any]) -> None:
    with ledger.transaction() as tx:
        context = Context(tx, load_policy(), Profile(), 2e9)
        lane.decide(Alert.parse(alerts.new(alerts.event("G0", superevent="S1"))), context)
        with pytest.raises(BadInput):
            list(lane.handle_superevent(about(superevent(**wrong), "update")["payload"], context))


@pytest.mark.parametrize("field", ["far", "gpstime"])
def test_numbers_of_hundreds_of_digits_are_dead_letters_not_crashes(field: str) -> None:
    assert final(of(alerts.event("G1", **{field: 10**400}))) == []
    assert final({"topic": "cbc_gstlal", "payload": "\ud800"}, of(alerts.event("G2")))[0]["preferred"] == "G2"


def test_a_reserved_event_is_dropped_before_its_missing_time_is_looked_at() -> None:
    line = of(alerts.event("G1", None, None, processing_status="reserved"))  # type: ignore[arg-type]
    (decision, _) = [json.loads(text) for text in replay([json.dumps(line).encode()], load_policy())]
    assert decision["action"] == "drop"
    assert decision["reason"].startswith("processing_status is reserved")


def test_an_alert_on_a_topic_nobody_wants_does_not_hide_the_one_that_counts() -> None:
    line = of(alerts.event("G1"))
    assert len(final({**line, "topic": "foo_bar"}, line)) == 1


def test_the_added_label_counts_although_the_snapshot_is_older() -> None:
    data = alerts.event("G1", labels=alerts.COMPLETE[:2])
    payload = {"alert_type": "label_added", "data": {"name": alerts.COMPLETE[2]}, "object": data}
    (one,) = final({"topic": "cbc_gstlal", "payload": payload})
    assert "EM_READY" in one["labels"]


def test_case_does_not_matter_in_a_policy() -> None:
    values = msgspec.to_builtins(load_policy())
    values |= {"drop_searches": ["VTInjection"], "significant": {"CBC.AllSky": {"far": 1.0, "trials": 1}}}
    policy = policy_from(values)
    assert final(of(alerts.event("G1", search="vtinjection")), policy=policy) == []
    assert final(of(alerts.event("G1", far=1e-4)), policy=policy)[0]["labels"] == ["ADVREQ"]
