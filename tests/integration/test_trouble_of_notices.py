"""What can go wrong between a notice and its coincidence, each once found and then mended."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from gwbatch.config.resources import demo_event
from gwbatch.demo.pipelines import with_far
from gwbatch.errors import BadInput
from gwbatch.executors import external
from gwbatch.gpstime import gps_to_utc
from gwbatch.mirror.superevents import Mirror
from tests.integration.rig import FACTS, Rig
from tests.integration.test_way_of_a_notice import MERGER, burst, far_file, labels
from tests.notices import GUANO, guano, voevent

DISJOINT = {"overlap_integral": 0.0, "disjoint": True}
NO_PLACE = (0.0, 0.0, 0.0)


def utc(after: float) -> str:
    return gps_to_utc(MERGER + after).strftime("%Y-%m-%dT%H:%M:%S.%f")


def mock(after: float, **params: Any) -> bytes:
    return voevent("ivo://nasa.gsfc.gcn/Fermi#x", time=utc(after), Packet_Type=115, TrigID=123456, **params)


def test_nothing_is_announced_on_a_map_that_is_about_to_be_replaced(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flight position agrees but is no burst; the final one is a burst elsewhere in the sky."""
    rig.upload(far=1e-7)
    rig.notice(burst(packet=111, Most_Likely_Index=3))
    rig.settle()
    monkeypatch.setitem(FACTS, "combine-skymaps", DISJOINT)
    rig.notice(burst(packet=115, position=(10.0, 80.0, 1.0)))
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert far_file(rig, superevent["superevent_id"])["spatiotemporal_coinc_far"] is None
    assert superevent["space_coinc_far"] == 1e9  # not the small rate of before


def test_an_external_event_that_cannot_be_made_holds_up_no_superevent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise BadInput("403 no permission for pipeline Fermi")

    monkeypatch.setattr(external, "_create", refuse)
    rig.notice(burst())
    rig.upload(far=1e-6)
    rig.settle()
    second = rig.upload("pycbc", far=1e-9)
    rig.settle(60)
    (superevent,) = rig.superevents()
    assert second in superevent["gw_events"]
    assert {"EM_READY", "ADVREQ", "SIGNIF_LOCKED"} <= set(superevent["labels"])


def test_a_preferred_event_that_comes_back_brings_its_map_back(rig: Rig) -> None:
    first = rig.upload("gstlal", far=1e-9)
    rig.settle()
    second = rig.upload("pycbc", far=1e-8)
    rig.settle()
    (superevent,) = rig.superevents()
    name, preferred = superevent["superevent_id"], superevent["preferred_event"]
    rig.notice(burst(packet=110))  # has a position, but is no burst yet: nothing is announced
    rig.settle()
    for one in (second if preferred == first else first, preferred):
        rig.server.client.update_superevent(name, preferred_event=one)
        rig.settle()
    (event,) = rig.externals()
    rig.server.client.remove_label(event["graceid"], "NOT_GRB")
    rig.settle()
    assert "RAVEN_ALERT" in labels(rig, name)


@pytest.mark.parametrize("xml", [True, False])
def test_svom_sends_xml_and_json_on_one_topic(rig: Rig, xml: bool) -> None:
    group = '<Group name="Svom_Identifiers"><Param name="Burst_Id" value="sb24062001"/></Group>'
    notice = voevent("ivo://org.svom/fsc#1", time=utc(2.0), group=group, Packet_Type=202)
    if not xml:
        said = {"instrument": "ECLAIRs", "id": "sb24062001", "trigger_time": utc(2.0), "ra": 1.0, "dec": 2.0}
        notice = json.dumps(said).encode()
    rig.notice(notice, "gcn.notices.svom.voevent.eclairs")
    rig.settle()
    (event,) = rig.externals()
    assert (event["pipeline"], event["extra_attributes"]["GRB"]["trigger_id"]) == ("SVOM", "sb24062001")
    assert rig.dead() == []


@pytest.mark.parametrize("test_first", [True, False])
def test_a_test_notice_of_the_same_trigger_id_is_another_event(rig: Rig, test_first: bool) -> None:
    rig.notice(burst(packet=112, role="test" if test_first else "observation"))
    rig.settle()
    rig.notice(burst(packet=115, role="observation" if test_first else "test"))
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    real = [event["graceid"] for event in rig.externals() if event["group"] == "External"]
    assert superevent["em_events"] == real
    assert len(rig.externals()) == 2
    assert rig.dead() == []


def test_mock_triggers_that_all_bear_one_id_are_events_of_their_own(rig: Rig) -> None:
    for after in (-90000.0, 2.0):
        rig.notice(mock(after))
        rig.settle()
    assert len(rig.externals()) == 2
    assert rig.dead() == []


@pytest.mark.parametrize("maps", [True, False])
def test_the_better_of_two_external_events_is_preferred(rig: Rig, maps: bool) -> None:
    if not maps:
        rig.with_annotation(leave_out=["combined-ext.multiorder.fits"])
    rig.notice(burst(packet=110, position=NO_PLACE))
    rig.notice(voevent("ivo://nasa.gsfc.gcn/SWIFT#BAT_GRB_Pos_1", time=utc(2.0), Packet_Type=61, TrigID=777))
    rig.settle()
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    (swift,) = (event["graceid"] for event in rig.externals() if event["pipeline"] == "Swift")
    assert superevent["em_type"] == swift
    assert far_file(rig, superevent["superevent_id"])["external_event"] == swift
    assert len(superevent["em_events"]) == 2


def test_a_notice_without_a_position_leaves_the_map_of_an_earlier_one(rig: Rig) -> None:
    rig.notice(json.dumps(guano(id=["5"], ra=10.0, dec=20.0, ra_dec_error=0.2)).encode(), GUANO)
    for _ in range(3):
        rig.lanes[1].step()
    rig.notice(json.dumps(guano(id=["5"], alert_type="update", far=2e-5)).encode(), GUANO)
    rig.settle()
    (event,) = rig.externals()
    assert "external.multiorder.fits,0" in rig.files(event["graceid"])


def test_an_event_that_is_taken_over_gets_its_labels(rig: Rig) -> None:
    rig.server.client.create_event("External", "Fermi", "a.xml", search="GRB", filecontents=burst())
    rig.notice(burst(packet=110, position=NO_PLACE))
    rig.settle()
    (event,) = rig.externals()
    assert "NOT_GRB" in event["labels"]


def test_a_coincidence_of_a_mock_superevent_comes_and_goes(rig: Rig) -> None:
    """Its key is the server's (MS...), and each label is asked for once."""
    content = with_far(demo_event("bns_hlv").read_bytes(), 1e-9)
    client = rig.server.client
    event = client.create_event("CBC", "gstlal", "coinc.xml", search="MDC", filecontents=content).json()["graceid"]
    made = client.create_superevent(MERGER - 1, MERGER, MERGER + 1, event, category="M").json()
    name = made["superevent_id"]
    rig.settle()
    rig.notice(mock(2.0))
    rig.settle()
    assert "EM_COINC" in labels(rig, name)
    asked = rig.ledger.read("SELECT key FROM effects WHERE kind = 'gracedb.label' AND key LIKE 'MS%/label/EM_COINC%'")
    assert len(asked) <= 1


def test_superevents_that_turn_out_to_be_one_keep_their_coincidence(rig: Rig) -> None:
    rig.upload()
    rig.notice(burst())
    rig.settle()
    (superevent,) = rig.superevents()
    name = superevent["superevent_id"]
    with rig.ledger.transaction() as tx:
        mirror = Mirror(tx)
        ours = mirror.superevent("S@G0001")
        assert ours is not None
        tx.execute("UPDATE superevents SET graceid = NULL WHERE key = 'S@G0001'")
        mirror.put_superevent(replace(ours, key=name, superevent_id=name, events=()), rig.clock.now())
        mirror.merge("S@G0001", name, rig.clock.now())
    rig.server.client.write_log(name, "better", filename="Bilby.multiorder.fits", filecontents=b"a map")
    rig.settle()
    rows = rig.ledger.read("SELECT superevent, chosen, announced FROM coincidences")
    assert [tuple(row) for row in rows] == [(name, 1, 1)]
    assert len([file for file in rig.files(name) if file.startswith("combined-ext.multiorder")]) == 2
    assert rig.dead() == []


def test_our_own_labels_are_not_taken_for_somebody_elses(rig: Rig) -> None:
    """The alert about another label may overtake those about NOT_GRB."""
    for packet, more in ((111, {}), (112, {"Most_Likely_Index": 3}), (115, {})):
        rig.notice(burst(packet=packet, **more))
        rig.lanes[1].step()
    with rig.ledger.transaction() as tx:
        later = rig.clock.now() + 60
        tx.execute("UPDATE effects SET not_before = ? WHERE key LIKE '%label/NOT_GRB%'", (later,))
    rig.settle(120)
    (row,) = rig.ledger.read("SELECT by_hand FROM external_events")
    assert row["by_hand"] is None
    (event,) = rig.externals()
    assert "NOT_GRB" not in event["labels"]


def test_a_preferred_event_that_is_replaced_is_judged_again(rig: Rig) -> None:
    graceid = rig.upload("gstlal", far=1e-6)
    rig.settle()
    rig.notice(burst())
    rig.settle()
    better = with_far(demo_event("bns_hlv").read_bytes(), 1e-9)
    rig.server.client.replace_event(graceid, "coinc.xml", filecontents=better)
    rig.settle()
    (superevent,) = rig.superevents()
    assert far_file(rig, superevent["superevent_id"])["temporal_coinc_far"] < 1e-13


def test_one_content_on_two_topics_is_one_trigger(rig: Rig) -> None:
    """What a notice is follows from its content, not from where it came from."""
    notice = guano(id=["5"], ra=1.0, dec=2.0)
    rig.notice(json.dumps(notice).encode(), GUANO)
    rig.notice(json.dumps(notice, indent=1).encode(), "gcn.notices.einstein_probe.wxt.alert")
    rig.settle()
    (event,) = rig.externals()
    assert (event["pipeline"], event["search"]) == ("Swift", "SubGRBTargeted")
    assert rig.dead() == []


def test_an_old_snapshot_that_shows_what_we_decided_twice_is_still_old(rig: Rig) -> None:
    """Preferred A, then B, then A again: an alert from the time of the first A, seen late, lets no B back in."""
    one = rig.upload("gstlal", far=1e-9)
    rig.settle()
    (superevent,) = rig.superevents()
    name = superevent["superevent_id"]
    began = time.time()
    with rig.ledger.transaction() as tx:
        mirror = Mirror(tx)
        mirror.expect("S@G0001", {"preferred": one})
        mirror.note_written("S@G0001", began, {"preferred": one})

    def snapshot(preferred: str, published: float) -> None:
        shown = rig.server.client.superevent(name).json() | {"preferred_event": preferred}
        payload = json.dumps({"alert_type": "log", "data": {}, "object": shown, "uid": f"{preferred}{published}"})
        rig.deliver("superevent", payload.encode(), published)

    snapshot(one, began - 2)
    snapshot("G9999", began - 1)
    (row,) = rig.ledger.read("SELECT preferred, expected FROM superevents")
    assert row["preferred"] == one
    snapshot(one, began + 1)
    snapshot("G9999", began + 2)  # this one was published after our write had been shown: somebody else's decision
    (row,) = rig.ledger.read("SELECT preferred, expected FROM superevents")
    assert (row["preferred"], row["expected"]) == ("G9999", "{}")
