"""External events that somebody else made in GraceDB: targeted searches, people, another instance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gwbatch.external import parse_notice
from gwbatch.external.event_file import event_file
from tests.integration.rig import Rig
from tests.integration.test_trouble_of_notices import utc
from tests.integration.test_way_of_a_notice import MERGER, burst, labels
from tests.notices import guano, voevent

GUANO_FILE = json.dumps(guano()).encode()  # of another mission than the event


def create(rig: Rig, content: bytes, name: str = "notice.xml", pipeline: str = "Fermi", **more: Any) -> str:
    group = more.pop("group", "External")
    made = rig.server.client.create_event(group, pipeline, name, filecontents=content, **{"search": "GRB", **more})
    return str(made.json()["graceid"])


@pytest.mark.parametrize("first", ["external", "superevent"])
def test_somebody_elses_event_coincides_and_is_announced(rig: Rig, first: str) -> None:
    if first == "superevent":
        rig.upload()
        rig.settle()
    graceid = create(rig, burst())
    rig.settle()
    if first == "external":
        rig.upload()
        rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == [graceid]
    assert {"EM_COINC", "RAVEN_ALERT"} <= labels(rig, graceid)
    assert "RAVEN_ALERT" in superevent["labels"]
    assert len(rig.externals()) == 1
    assert rig.dead() == []


def test_somebody_elses_event_meets_the_same_vetoes(rig: Rig) -> None:
    graceid = create(rig, burst(Most_Likely_Index=3))
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == [graceid]
    assert "NOT_GRB" in labels(rig, graceid)
    assert "RAVEN_ALERT" not in superevent["labels"]


@pytest.mark.parametrize("content", [b"<not a notice", b"{}", b"x" * 10, GUANO_FILE])
def test_an_event_whose_file_says_nothing_is_never_announced(rig: Rig, content: bytes) -> None:
    """It is looked at, as GraceDB describes it, with the reason as its veto; the event itself gets no label for it."""
    graceid = create(rig, burst(), "ok.xml")
    rig.server.store.add_file(graceid, "ok.xml", content)
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" not in superevent["labels"]
    (row,) = rig.ledger.read("SELECT reasons, adopted FROM external_events")
    assert "event file" in row["reasons"]
    assert row["adopted"]
    assert "NOT_GRB" not in labels(rig, graceid)
    rig.server.client.write_label(graceid, "NOT_GRB")
    rig.settle()
    rig.server.client.remove_label(graceid, "NOT_GRB")
    rig.settle()
    assert rig.dead() == []


@pytest.mark.parametrize(
    "mark", [{"role": "test"}, {"TrigID": 123456}, {"ivorn": "ivo://nasa.gsfc.gcn/Fermi#MDC-test_event"}]
)
@pytest.mark.parametrize("lifted", [True, False])
def test_a_mark_in_the_file_counts_whatever_gracedb_says(rig: Rig, mark: dict[str, Any], lifted: bool) -> None:
    notice = voevent(time=utc(2.0), **{"Packet_Type": 115, "TrigID": 5, **mark})
    graceid = create(rig, notice)
    rig.upload()
    rig.settle()
    if lifted:
        rig.server.client.write_label(graceid, "NOT_GRB")
        rig.server.client.remove_label(graceid, "NOT_GRB")
        rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == []
    assert not {"EM_COINC", "RAVEN_ALERT"} & set(superevent["labels"])


def test_of_two_searches_the_one_that_allows_less_counts(rig: Rig) -> None:
    create(rig, burst(), search="SubGRB")
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    (row,) = rig.ledger.read("SELECT search FROM external_events")
    assert row["search"] == "SubGRB"


def test_a_targeted_event_is_centred_once(rig: Rig) -> None:
    """Its file in GraceDB has the centre of the interval already."""
    raw = json.dumps(guano(trigger_time=utc(2.0) + "Z", rate_duration=16.0, ra=10.0, dec=20.0, far=1e-6)).encode()
    graceid = create(rig, event_file(raw, parse_notice("", raw)), "guano.json", "Swift", search="SubGRBTargeted")
    rig.settle()
    (row,) = rig.ledger.read("SELECT time FROM external_events")
    assert row["time"] == pytest.approx(rig.server.client.event(graceid).json()["gpstime"], abs=1e-5)
    assert row["time"] == pytest.approx(MERGER + 10.0, abs=1e-5)


def test_a_file_that_becomes_readable_counts_in_full(rig: Rig) -> None:
    raw = json.dumps(guano(trigger_time=utc(2.0) + "Z", ra=10.0, dec=20.0, far=1e-6)).encode()
    graceid = create(rig, raw, "guano.json", "Swift", search="SubGRBTargeted")
    rig.server.store.add_file(graceid, "guano.json", b"<broken")
    rig.settle()
    rig.server.client.replace_event(graceid, "guano.json", filecontents=raw)
    rig.upload()
    rig.settle()
    (row,) = rig.ledger.read("SELECT search, far, reasons FROM external_events")
    assert tuple(row) == ("SubGRBTargeted", 1e-6, "[]")
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" in superevent["labels"]


def test_a_retraction_counts_above_whoever_took_not_grb_away(rig: Rig) -> None:
    graceid = create(rig, burst(packet=111, Most_Likely_Index=3))
    rig.settle()
    rig.server.client.remove_label(graceid, "NOT_GRB")
    rig.settle()
    rig.server.client.replace_event(graceid, "notice.xml", filecontents=burst(packet=164))
    rig.settle()
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert "NOT_GRB" in labels(rig, graceid)


def test_a_reason_that_came_later_counts_above_whoever_took_not_grb_away(rig: Rig) -> None:
    rig.notice(burst(packet=111, Most_Likely_Index=3))
    rig.settle()
    (event,) = rig.externals()
    rig.server.client.remove_label(event["graceid"], "NOT_GRB")
    rig.settle()
    rig.notice(burst(packet=115, Def_NOT_a_GRB="true"))
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert "NOT_GRB" in labels(rig, event["graceid"])


def test_a_file_that_is_of_another_trigger_now_ends_the_event(rig: Rig) -> None:
    graceid = create(rig, burst())
    rig.settle()
    rig.server.client.replace_event(graceid, "notice.xml", filecontents=burst().replace(b"524666471", b"999"))
    rig.settle()
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert rig.dead() == []


def test_an_event_that_was_there_while_ours_was_made_keeps_its_labels_and_its_file(rig: Rig) -> None:
    graceid = create(rig, burst(), labels=["NOT_GRB"])
    for seq, *_ in rig.server.store.alerts_after(0):
        rig._carried = seq  # nobody tells us of it
    rig.notice(burst())
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" not in superevent["labels"]
    rig.notice(burst(packet=115, Reliability=9))
    rig.settle()
    assert [name for name in rig.files(graceid) if name.startswith("notice.xml")] == ["notice.xml,0"]
    assert rig.dead() == []


def test_a_test_event_with_a_real_notice_stays_a_test(rig: Rig) -> None:
    create(rig, burst(), group="Test")
    rig.upload()
    rig.settle()
    assert [superevent["em_events"] for superevent in rig.superevents()] == [[]]


def test_the_same_trigger_from_the_observatory_is_the_same_event(rig: Rig) -> None:
    graceid = create(rig, burst())
    rig.settle()
    rig.notice(burst())
    rig.settle()
    rig.notice(burst(packet=112))
    rig.settle()
    assert [event["graceid"] for event in rig.externals()] == [graceid]
    files = [name for name in rig.files(graceid) if ".xml" in name]
    assert files == ["fermi_gbm_gnd_pos.xml,0", "notice.xml,0"]
    assert rig.dead() == []


def test_a_file_that_its_maker_replaces_is_read_again(rig: Rig) -> None:
    graceid = create(rig, burst(packet=111, Most_Likely_Index=3))
    rig.settle()
    assert "NOT_GRB" in labels(rig, graceid)
    rig.server.client.replace_event(graceid, "notice.xml", filecontents=burst(packet=115))
    rig.upload()
    rig.settle()
    assert "NOT_GRB" not in labels(rig, graceid)
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" in superevent["labels"]


def test_not_grb_that_its_maker_set_counts(rig: Rig) -> None:
    graceid = create(rig, burst(), labels=["NOT_GRB"])
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    rig.server.client.remove_label(graceid, "NOT_GRB")
    rig.settle()
    assert "RAVEN_ALERT" in labels(rig, superevent["superevent_id"])


def test_an_event_of_a_targeted_search(rig: Rig) -> None:
    notice = guano(trigger_time=utc(2.0) + "Z", ra=10.0, dec=20.0, ra_dec_error=1.0, far=1e-6)
    graceid = create(rig, json.dumps(notice).encode(), "guano.json", "Swift", search="SubGRBTargeted")
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" in superevent["labels"]


def test_its_makers_map_is_not_replaced_by_ours(rig: Rig) -> None:
    graceid = create(rig, burst(), labels=["EXT_SKYMAP_READY"])
    rig.upload()
    rig.settle()
    assert not [name for name in rig.files(graceid) if name.startswith("external.multiorder")]
    (superevent,) = rig.superevents()
    assert "COMBINEDSKYMAP_READY" in superevent["labels"]


def test_with_parameter_estimation_another_preferred_event_changes_no_map(rig: Rig) -> None:
    rig.upload("gstlal", far=1e-9)
    rig.notice(burst())
    rig.settle()
    (superevent,) = rig.superevents()
    name = superevent["superevent_id"]
    rig.server.client.write_label(name, "PE_READY")
    rig.settle()
    second = rig.upload("pycbc", far=1e-8)
    rig.settle()
    rig.server.client.update_superevent(name, preferred_event=second)
    rig.settle()
    combined = [file for file in rig.files(name) if file.startswith("combined-ext.multiorder")]
    assert combined == ["combined-ext.multiorder.fits,0"]
    maps = [file for file in rig.files(name) if file.startswith("bayestar.multiorder")]
    assert maps == ["bayestar.multiorder.fits,0"]
