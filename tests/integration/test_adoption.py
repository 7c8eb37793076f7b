"""External events that others made in GraceDB: targeted searches, people or another instance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gwbatch.external import parse_notice
from gwbatch.external.event_file import event_file
from tests.integration.harness import Harness
from tests.integration.test_notice_failures import utc
from tests.integration.test_notice_to_coincidence import MERGER, burst, labels
from tests.notices import guano, voevent

GUANO_FILE = json.dumps(guano()).encode()  # from a mission other than the event's


def create(harness: Harness, content: bytes, name: str = "notice.xml", pipeline: str = "Fermi", **more: Any) -> str:
    group = more.pop("group", "External")
    made = harness.server.client.create_event(group, pipeline, name, filecontents=content, **{"search": "GRB", **more})
    return str(made.json()["graceid"])


@pytest.mark.parametrize("first", ["external", "superevent"])
def test_somebody_elses_event_coincides_and_is_announced(harness: Harness, first: str) -> None:
    if first == "superevent":
        harness.upload()
        harness.settle()
    graceid = create(harness, burst())
    harness.settle()
    if first == "external":
        harness.upload()
        harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == [graceid]
    assert {"EM_COINC", "RAVEN_ALERT"} <= labels(harness, graceid)
    assert "RAVEN_ALERT" in superevent["labels"]
    assert len(harness.externals()) == 1
    assert harness.dead() == []


def test_somebody_elses_event_meets_the_same_vetoes(harness: Harness) -> None:
    graceid = create(harness, burst(Most_Likely_Index=3))
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == [graceid]
    assert "NOT_GRB" in labels(harness, graceid)
    assert "RAVEN_ALERT" not in superevent["labels"]


@pytest.mark.parametrize("content", [b"<not a notice", b"{}", b"x" * 10, GUANO_FILE])
def test_an_event_whose_file_says_nothing_is_never_announced(harness: Harness, content: bytes) -> None:
    """gwbatch uses GraceDB's description of the event, with the reason as a veto. The event gets no NOT_GRB label."""
    graceid = create(harness, burst(), "ok.xml")
    harness.server.store.add_file(graceid, "ok.xml", content)
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" not in superevent["labels"]
    (row,) = harness.ledger.read("SELECT reasons, adopted FROM external_events")
    assert "event file" in row["reasons"]
    assert row["adopted"]
    assert "NOT_GRB" not in labels(harness, graceid)
    harness.server.client.write_label(graceid, "NOT_GRB")
    harness.settle()
    harness.server.client.remove_label(graceid, "NOT_GRB")
    harness.settle()
    assert harness.dead() == []


@pytest.mark.parametrize(
    "mark", [{"role": "test"}, {"TrigID": 123456}, {"ivorn": "ivo://nasa.gsfc.gcn/Fermi#MDC-test_event"}]
)
@pytest.mark.parametrize("lifted", [True, False])
def test_a_mark_in_the_file_counts_whatever_gracedb_says(harness: Harness, mark: dict[str, Any], lifted: bool) -> None:
    notice = voevent(time=utc(2.0), **{"Packet_Type": 115, "TrigID": 5, **mark})
    graceid = create(harness, notice)
    harness.upload()
    harness.settle()
    if lifted:
        harness.server.client.write_label(graceid, "NOT_GRB")
        harness.server.client.remove_label(graceid, "NOT_GRB")
        harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == []
    assert not {"EM_COINC", "RAVEN_ALERT"} & set(superevent["labels"])


def test_of_two_searches_the_one_that_allows_less_counts(harness: Harness) -> None:
    create(harness, burst(), search="SubGRB")
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    (row,) = harness.ledger.read("SELECT search FROM external_events")
    assert row["search"] == "SubGRB"


def test_a_targeted_event_is_centred_once(harness: Harness) -> None:
    """Its file in GraceDB already has the centre of the interval as the trigger time."""
    raw = json.dumps(guano(trigger_time=utc(2.0) + "Z", rate_duration=16.0, ra=10.0, dec=20.0, far=1e-6)).encode()
    graceid = create(harness, event_file(raw, parse_notice("", raw)), "guano.json", "Swift", search="SubGRBTargeted")
    harness.settle()
    (row,) = harness.ledger.read("SELECT time FROM external_events")
    assert row["time"] == pytest.approx(harness.server.client.event(graceid).json()["gpstime"], abs=1e-5)
    assert row["time"] == pytest.approx(MERGER + 10.0, abs=1e-5)


def test_a_file_that_becomes_readable_counts_in_full(harness: Harness) -> None:
    raw = json.dumps(guano(trigger_time=utc(2.0) + "Z", ra=10.0, dec=20.0, far=1e-6)).encode()
    graceid = create(harness, raw, "guano.json", "Swift", search="SubGRBTargeted")
    harness.server.store.add_file(graceid, "guano.json", b"<broken")
    harness.settle()
    harness.server.client.replace_event(graceid, "guano.json", filecontents=raw)
    harness.upload()
    harness.settle()
    (row,) = harness.ledger.read("SELECT search, far, reasons FROM external_events")
    assert tuple(row) == ("SubGRBTargeted", 1e-6, "[]")
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" in superevent["labels"]


def test_a_retraction_counts_above_whoever_took_not_grb_away(harness: Harness) -> None:
    graceid = create(harness, burst(packet=111, Most_Likely_Index=3))
    harness.settle()
    harness.server.client.remove_label(graceid, "NOT_GRB")
    harness.settle()
    harness.server.client.replace_event(graceid, "notice.xml", filecontents=burst(packet=164))
    harness.settle()
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert "NOT_GRB" in labels(harness, graceid)


def test_a_reason_that_came_later_counts_above_whoever_took_not_grb_away(harness: Harness) -> None:
    harness.notice(burst(packet=111, Most_Likely_Index=3))
    harness.settle()
    (event,) = harness.externals()
    harness.server.client.remove_label(event["graceid"], "NOT_GRB")
    harness.settle()
    harness.notice(burst(packet=115, Def_NOT_a_GRB="true"))
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert "NOT_GRB" in labels(harness, event["graceid"])


def test_a_file_that_is_of_another_trigger_now_ends_the_event(harness: Harness) -> None:
    graceid = create(harness, burst())
    harness.settle()
    harness.server.client.replace_event(graceid, "notice.xml", filecontents=burst().replace(b"524666471", b"999"))
    harness.settle()
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    assert harness.dead() == []


def test_an_event_that_was_there_while_ours_was_made_keeps_its_labels_and_its_file(harness: Harness) -> None:
    graceid = create(harness, burst(), labels=["NOT_GRB"])
    for seq, *_ in harness.server.store.alerts_after(0):
        harness._carried = seq  # the dispatcher receives no alert about it
    harness.notice(burst())
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" not in superevent["labels"]
    harness.notice(burst(packet=115, Reliability=9))
    harness.settle()
    assert [name for name in harness.files(graceid) if name.startswith("notice.xml")] == ["notice.xml,0"]
    assert harness.dead() == []


def test_a_test_event_with_a_real_notice_stays_a_test(harness: Harness) -> None:
    create(harness, burst(), group="Test")
    harness.upload()
    harness.settle()
    assert [superevent["em_events"] for superevent in harness.superevents()] == [[]]


def test_the_same_trigger_from_the_observatory_is_the_same_event(harness: Harness) -> None:
    graceid = create(harness, burst())
    harness.settle()
    harness.notice(burst())
    harness.settle()
    harness.notice(burst(packet=112))
    harness.settle()
    assert [event["graceid"] for event in harness.externals()] == [graceid]
    files = [name for name in harness.files(graceid) if ".xml" in name]
    assert files == ["fermi_gbm_gnd_pos.xml,0", "notice.xml,0"]
    assert harness.dead() == []


def test_a_file_that_its_maker_replaces_is_read_again(harness: Harness) -> None:
    graceid = create(harness, burst(packet=111, Most_Likely_Index=3))
    harness.settle()
    assert "NOT_GRB" in labels(harness, graceid)
    harness.server.client.replace_event(graceid, "notice.xml", filecontents=burst(packet=115))
    harness.upload()
    harness.settle()
    assert "NOT_GRB" not in labels(harness, graceid)
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" in superevent["labels"]


def test_not_grb_that_its_maker_set_counts(harness: Harness) -> None:
    graceid = create(harness, burst(), labels=["NOT_GRB"])
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    harness.server.client.remove_label(graceid, "NOT_GRB")
    harness.settle()
    assert "RAVEN_ALERT" in labels(harness, superevent["superevent_id"])


def test_an_event_of_a_targeted_search(harness: Harness) -> None:
    notice = guano(trigger_time=utc(2.0) + "Z", ra=10.0, dec=20.0, ra_dec_error=1.0, far=1e-6)
    graceid = create(harness, json.dumps(notice).encode(), "guano.json", "Swift", search="SubGRBTargeted")
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert superevent["em_events"] == [graceid]
    assert "RAVEN_ALERT" in superevent["labels"]


def test_its_makers_map_is_not_replaced_by_ours(harness: Harness) -> None:
    graceid = create(harness, burst(), labels=["EXT_SKYMAP_READY"])
    harness.upload()
    harness.settle()
    assert not [name for name in harness.files(graceid) if name.startswith("external.multiorder")]
    (superevent,) = harness.superevents()
    assert "COMBINEDSKYMAP_READY" in superevent["labels"]


def test_with_parameter_estimation_another_preferred_event_changes_no_map(harness: Harness) -> None:
    harness.upload("gstlal", far=1e-9)
    harness.notice(burst())
    harness.settle()
    (superevent,) = harness.superevents()
    name = superevent["superevent_id"]
    harness.server.client.write_label(name, "PE_READY")
    harness.settle()
    second = harness.upload("pycbc", far=1e-8)
    harness.settle()
    harness.server.client.update_superevent(name, preferred_event=second)
    harness.settle()
    combined = [file for file in harness.files(name) if file.startswith("combined-ext.multiorder")]
    assert combined == ["combined-ext.multiorder.fits,0"]
    maps = [file for file in harness.files(name) if file.startswith("bayestar.multiorder")]
    assert maps == ["bayestar.multiorder.fits,0"]
