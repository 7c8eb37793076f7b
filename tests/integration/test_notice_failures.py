"""Failures between a notice and its coincidence that once occurred and have been fixed."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import with_far
from gwbatch.errors import BadInput
from gwbatch.executors import external
from gwbatch.gpstime import gps_to_utc
from gwbatch.mirror.superevents import SupereventStore
from tests.integration.harness import FACTS, Harness
from tests.integration.test_notice_to_coincidence import MERGER, burst, far_file, labels
from tests.notices import GUANO, guano, voevent

DISJOINT = {"overlap_integral": 0.0, "disjoint": True}
NO_PLACE = (0.0, 0.0, 0.0)


def utc(after: float) -> str:
    return gps_to_utc(MERGER + after).strftime("%Y-%m-%dT%H:%M:%S.%f")


def mock(after: float, **params: Any) -> bytes:
    return voevent("ivo://nasa.gsfc.gcn/Fermi#x", time=utc(after), Packet_Type=115, TrigID=123456, **params)


def test_nothing_is_announced_on_a_map_that_is_about_to_be_replaced(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flight notice agrees in position but is not a burst; the final one is a burst elsewhere in the sky."""
    harness.upload(far=1e-7)
    harness.notice(burst(packet=111, Most_Likely_Index=3))
    harness.settle()
    monkeypatch.setitem(FACTS, "combine-skymaps", DISJOINT)
    harness.notice(burst(packet=115, position=(10.0, 80.0, 1.0)))
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert far_file(harness, superevent["superevent_id"])["spatiotemporal_coinc_far"] is None
    assert superevent["space_coinc_far"] == 1e9  # not the small rate of the earlier map


def test_an_external_event_that_cannot_be_made_holds_up_no_superevent(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BadInput("403 no permission for pipeline Fermi")

    monkeypatch.setattr(external, "_create", refuse)
    harness.notice(burst())
    harness.upload(far=1e-6)
    harness.settle()
    second = harness.upload("pycbc", far=1e-9)
    harness.settle(60)
    (superevent,) = harness.superevents()
    assert second in superevent["gw_events"]
    assert {"EM_READY", "ADVREQ", "SIGNIF_LOCKED"} <= set(superevent["labels"])


def test_a_preferred_event_that_comes_back_brings_its_map_back(harness: Harness) -> None:
    first = harness.upload("gstlal", far=1e-9)
    harness.settle()
    second = harness.upload("pycbc", far=1e-8)
    harness.settle()
    (superevent,) = harness.superevents()
    name, preferred = superevent["superevent_id"], superevent["preferred_event"]
    harness.notice(burst(packet=110))  # has a position but is not a burst yet, so nothing is announced
    harness.settle()
    for one in (second if preferred == first else first, preferred):
        harness.server.client.update_superevent(name, preferred_event=one)
        harness.settle()
    (event,) = harness.externals()
    harness.server.client.remove_label(event["graceid"], "NOT_GRB")
    harness.settle()
    assert "RAVEN_ALERT" in labels(harness, name)


@pytest.mark.parametrize("xml", [True, False])
def test_svom_sends_xml_and_json_on_one_topic(harness: Harness, xml: bool) -> None:
    group = '<Group name="Svom_Identifiers"><Param name="Burst_Id" value="sb24062001"/></Group>'
    notice = voevent("ivo://org.svom/fsc#1", time=utc(2.0), group=group, Packet_Type=202)
    if not xml:
        said = {"instrument": "ECLAIRs", "id": "sb24062001", "trigger_time": utc(2.0), "ra": 1.0, "dec": 2.0}
        notice = json.dumps(said).encode()
    harness.notice(notice, "gcn.notices.svom.voevent.eclairs")
    harness.settle()
    (event,) = harness.externals()
    assert (event["pipeline"], event["extra_attributes"]["GRB"]["trigger_id"]) == ("SVOM", "sb24062001")
    assert harness.dead() == []


@pytest.mark.parametrize("test_first", [True, False])
def test_a_test_notice_of_the_same_trigger_id_is_another_event(harness: Harness, test_first: bool) -> None:
    harness.notice(burst(packet=112, role="test" if test_first else "observation"))
    harness.settle()
    harness.notice(burst(packet=115, role="observation" if test_first else "test"))
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    real = [event["graceid"] for event in harness.externals() if event["group"] == "External"]
    assert superevent["em_events"] == real
    assert len(harness.externals()) == 2
    assert harness.dead() == []


def test_mock_triggers_that_all_bear_one_id_are_events_of_their_own(harness: Harness) -> None:
    for after in (-90000.0, 2.0):
        harness.notice(mock(after))
        harness.settle()
    assert len(harness.externals()) == 2
    assert harness.dead() == []


@pytest.mark.parametrize("maps", [True, False])
def test_the_better_of_two_external_events_is_preferred(harness: Harness, maps: bool) -> None:
    if not maps:
        harness.with_annotation(leave_out=["combined-ext.multiorder.fits"])
    harness.notice(burst(packet=110, position=NO_PLACE))
    harness.notice(voevent("ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1", time=utc(2.0), Packet_Type=61, TrigID=777))
    harness.settle()
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    (swift,) = (event["graceid"] for event in harness.externals() if event["pipeline"] == "Swift")
    assert superevent["em_type"] == swift
    assert far_file(harness, superevent["superevent_id"])["external_event"] == swift
    assert len(superevent["em_events"]) == 2


def test_a_notice_without_a_position_leaves_the_map_of_an_earlier_one(harness: Harness) -> None:
    harness.notice(json.dumps(guano(id=["5"], ra=10.0, dec=20.0, ra_dec_error=0.2)).encode(), GUANO)
    for _ in range(3):
        harness.lanes[1].step()
    harness.notice(json.dumps(guano(id=["5"], alert_type="update", far=2e-5)).encode(), GUANO)
    harness.settle()
    (event,) = harness.externals()
    assert "external.multiorder.fits,0" in harness.files(event["graceid"])


def test_an_event_that_is_taken_over_gets_its_labels(harness: Harness) -> None:
    harness.server.client.create_event("External", "Fermi", "a.xml", search="GRB", filecontents=burst())
    harness.notice(burst(packet=110, position=NO_PLACE))
    harness.settle()
    (event,) = harness.externals()
    assert "NOT_GRB" in event["labels"]


def test_a_coincidence_of_a_mock_superevent_comes_and_goes(harness: Harness) -> None:
    """Its key is the server's (MS...), and EM_COINC is requested at most once."""
    content = with_far(example_event("bns_hlv").read_bytes(), 1e-9)
    client = harness.server.client
    event = client.create_event("CBC", "gstlal", "coinc.xml", search="MDC", filecontents=content).json()["graceid"]
    made = client.create_superevent(MERGER - 1, MERGER, MERGER + 1, event, category="M").json()
    name = made["superevent_id"]
    harness.settle()
    harness.notice(mock(2.0))
    harness.settle()
    assert "EM_COINC" in labels(harness, name)
    asked = harness.ledger.read(
        "SELECT key FROM effects WHERE kind = 'gracedb.label' AND key LIKE 'MS%/label/EM_COINC%'"
    )
    assert len(asked) <= 1


def test_superevents_that_turn_out_to_be_one_keep_their_coincidence(harness: Harness) -> None:
    harness.upload()
    harness.notice(burst())
    harness.settle()
    (superevent,) = harness.superevents()
    name = superevent["superevent_id"]
    with harness.ledger.transaction() as tx:
        mirror = SupereventStore(tx)
        ours = mirror.superevent("S@G0001")
        assert ours is not None
        tx.execute("UPDATE superevents SET graceid = NULL WHERE key = 'S@G0001'")
        mirror.put_superevent(replace(ours, key=name, superevent_id=name, events=()), harness.clock.now())
        mirror.merge("S@G0001", name, harness.clock.now())
    harness.server.client.write_log(name, "better", filename="Bilby.multiorder.fits", filecontents=b"a map")
    harness.settle()
    rows = harness.ledger.read("SELECT superevent, chosen, announced FROM coincidences")
    assert [tuple(row) for row in rows] == [(name, 1, 1)]
    assert len([file for file in harness.files(name) if file.startswith("combined-ext.multiorder")]) == 2
    assert harness.dead() == []


def test_our_own_labels_are_not_taken_for_somebody_elses(harness: Harness) -> None:
    """The alert about another label may overtake those about NOT_GRB."""
    for packet, more in ((111, {}), (112, {"Most_Likely_Index": 3}), (115, {})):
        harness.notice(burst(packet=packet, **more))
        harness.lanes[1].step()
    with harness.ledger.transaction() as tx:
        later = harness.clock.now() + 60
        tx.execute("UPDATE effects SET not_before = ? WHERE key LIKE '%label/NOT_GRB%'", (later,))
    harness.settle(120)
    (row,) = harness.ledger.read("SELECT not_grb_override FROM external_events")
    assert row["not_grb_override"] is None
    (event,) = harness.externals()
    assert "NOT_GRB" not in event["labels"]


def test_a_preferred_event_that_is_replaced_is_judged_again(harness: Harness) -> None:
    graceid = harness.upload("gstlal", far=1e-6)
    harness.settle()
    harness.notice(burst())
    harness.settle()
    better = with_far(example_event("bns_hlv").read_bytes(), 1e-9)
    harness.server.client.replace_event(graceid, "coinc.xml", filecontents=better)
    harness.settle()
    (superevent,) = harness.superevents()
    assert far_file(harness, superevent["superevent_id"])["temporal_coinc_far"] < 1e-13


def test_one_content_on_two_topics_is_one_trigger(harness: Harness) -> None:
    """The content of a notice decides what it is, not the topic it came on."""
    notice = guano(id=["5"], ra=1.0, dec=2.0)
    harness.notice(json.dumps(notice).encode(), GUANO)
    harness.notice(json.dumps(notice, indent=1).encode(), "gcn.notices.einstein_probe.wxt.alert")
    harness.settle()
    (event,) = harness.externals()
    assert (event["pipeline"], event["search"]) == ("Swift", "SubGRBTargeted")
    assert harness.dead() == []


def test_an_old_snapshot_that_shows_what_we_decided_twice_is_still_old(harness: Harness) -> None:
    """A was preferred, then B, then A again. A late alert from before the last change does not bring B back."""
    one = harness.upload("gstlal", far=1e-9)
    harness.settle()
    (superevent,) = harness.superevents()
    name = superevent["superevent_id"]
    began = time.time()
    with harness.ledger.transaction() as tx:
        mirror = SupereventStore(tx)
        mirror.set_pending("S@G0001", {"preferred": one})
        mirror.note_written("S@G0001", began, {"preferred": one})

    def snapshot(preferred: str, published: float) -> None:
        shown = harness.server.client.superevent(name).json() | {"preferred_event": preferred}
        payload = json.dumps({"alert_type": "log", "data": {}, "object": shown, "uid": f"{preferred}{published}"})
        harness.deliver("superevent", payload.encode(), published)

    snapshot(one, began - 2)
    snapshot("G9999", began - 1)
    (row,) = harness.ledger.read("SELECT preferred, pending_writes FROM superevents")
    assert row["preferred"] == one
    snapshot(one, began + 1)
    snapshot("G9999", began + 2)  # published after our write was shown, so somebody else decided this
    (row,) = harness.ledger.read("SELECT preferred, pending_writes FROM superevents")
    assert (row["preferred"], row["pending_writes"]) == ("G9999", "{}")
