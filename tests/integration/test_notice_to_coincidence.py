"""From the notice to the coincidence, against the real GraceDB contract and a scripted batch system."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import with_far
from gwbatch.gpstime import gps_to_utc
from tests.integration.harness import FACTS, Harness
from tests.integration.test_event_products import CWB
from tests.notices import GUANO, fermi, guano, voevent

MERGER = 1029975254.48524  # GPS time (s) of the simulated binary neutron star

JOINT = ["combined-ext.multiorder.fits", "combined-ext.png", "overlap_integral.png"]


def burst(after: float = 2.0, packet: int = 115, **params: Any) -> bytes:
    """Return a Fermi notice of a burst `after` seconds after the merger."""
    time = gps_to_utc(MERGER + after).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return fermi(packet, time=time, **params)


def far_file(harness: Harness, name: str) -> dict[str, Any]:
    return dict(json.loads(harness.server.client.files(name, "coincidence_far.json").read()))


def labels(harness: Harness, name: str) -> set[str]:
    return {label["name"] for label in harness.server.client.labels(name).json()["labels"]}


def test_a_notice_becomes_an_external_event_with_a_sky_map(harness: Harness) -> None:
    harness.notice(burst())
    harness.settle()
    (event,) = harness.externals()
    assert (event["group"], event["pipeline"], event["search"]) == ("External", "Fermi", "GRB")
    assert event["extra_attributes"]["GRB"]["trigger_id"] == "524666471"
    assert event["labels"] == ["EXT_SKYMAP_READY"]
    assert harness.files(event["graceid"]) == [
        "external.multiorder.fits,0",
        "external.png,0",
        "fermi_gbm_fin_pos.xml,0",
    ]
    (job,) = (row for row in harness.ledger.read("SELECT * FROM jobs") if row["kind"] == "external-skymap")
    wanted = json.loads(job["request"])["parameters"]
    assert wanted["mixture"] == [[0.9, 3.71], [pytest.approx(0.1), 14.3]]
    assert (job["queue"], wanted["ra"], wanted["dec"], wanted["error"]) == ("general", 172.0, -34.8, 17.45)
    assert harness.dead() == []


@pytest.mark.parametrize("notice_first", [True, False])
def test_a_coincidence_whichever_comes_first(harness: Harness, notice_first: bool) -> None:
    if notice_first:
        harness.notice(burst())
        harness.settle()
        graceid = harness.upload()
    else:
        graceid = harness.upload()
        harness.settle()
        harness.notice(burst())
    harness.settle()
    (superevent,), (event,) = harness.superevents(), harness.externals()
    name, external = superevent["superevent_id"], event["graceid"]
    assert superevent["em_events"] == [external]
    assert superevent["em_type"] == external
    assert {"EM_COINC", "RAVEN_ALERT", "HIGH_PROFILE", "COMBINEDSKYMAP_READY"} <= set(superevent["labels"])
    assert set(event["labels"]) == {"EXT_SKYMAP_READY", "EM_COINC", "COMBINEDSKYMAP_READY", "RAVEN_ALERT"}
    assert "RAVEN_ALERT" in labels(harness, graceid)
    for one in (name, external):
        files = harness.files(one)
        assert {f"{product},0" for product in JOINT} <= set(files)
        rates = far_file(harness, one)
        assert rates["time_difference"] == pytest.approx(-2.0, abs=1e-5)
        assert rates["skymap_overlap"] == 32.4
        assert rates["spatiotemporal_coinc_far"] == pytest.approx(rates["temporal_coinc_far"] / 32.4)
        assert (rates["external_event"], rates["preferred_event"]) == (external, graceid)
        assert rates["external_trigger_id"] == "524666471"
    assert superevent["time_coinc_far"] == rates["temporal_coinc_far"]
    assert superevent["space_coinc_far"] == rates["spatiotemporal_coinc_far"]
    assert harness.dead() == []
    assert set(harness.states("effects").values()) == {"done"}


def test_labels_are_written_to_superevent_external_event_and_preferred_event_in_this_order(harness: Harness) -> None:
    harness.upload()
    harness.notice(burst())
    harness.settle()
    rows = harness.ledger.read("SELECT key FROM effects WHERE key LIKE '%RAVEN_ALERT%' ORDER BY finished, id")
    assert [row["key"].split("/")[0] for row in rows] == ["S@G0001", "E@Fermi-524666471", "G0001"]


def test_the_same_notice_twice_and_over_two_transports_makes_one_event(harness: Harness) -> None:
    for source in ("gcn", "gcn", "spool"):
        harness.notice(burst(), source=source)
    harness.settle()
    (event,) = harness.externals()
    assert [name for name in harness.files(event["graceid"]) if name.endswith(".xml,1")] == []
    assert harness.dead() == []


def test_a_later_notice_replaces_and_an_earlier_one_is_kept_beside(harness: Harness) -> None:
    harness.notice(burst(packet=112, Trig_Timescale=0.5))
    harness.settle()
    harness.notice(burst(packet=115))
    harness.settle()
    harness.notice(burst(packet=111))
    harness.settle()
    (event,) = harness.externals()
    files = [name for name in harness.files(event["graceid"]) if ".xml" in name]
    assert files == ["fermi_gbm_fin_pos.xml,0", "fermi_gbm_flt_pos.xml,0", "fermi_gbm_gnd_pos.xml,0"]
    (row,) = harness.ledger.read("SELECT * FROM external_events")
    assert row["best_notice"].startswith(json.loads(
        harness.ledger.read("SELECT request FROM jobs WHERE kind = 'external-skymap' ORDER BY rowid DESC")[0]["request"]
    )["version"])  # fmt: skip
    assert harness.files(event["graceid"]).count("external.multiorder.fits,1") == 1


def test_a_subthreshold_notice_never_overwrites_a_burst(harness: Harness) -> None:
    harness.notice(burst())
    subthreshold = voevent(
        "ivo://nasa.gsfc.gcn/Fermi#GBM_SubThresh_2011", time="2012-08-26T00:14:00", Packet_Type=131, TrigID=524666471
    )
    harness.notice(subthreshold)
    harness.settle()
    assert [event["search"] for event in harness.externals()] == ["GRB"]
    (row,) = harness.ledger.read("SELECT * FROM external_events")
    assert (row["search"], row["time"]) == ("GRB", pytest.approx(MERGER + 2.0))


def test_not_grb_is_set_at_creation_and_lifted_by_a_better_notice(harness: Harness) -> None:
    harness.notice(burst(packet=110, position=(0.0, 0.0, 0.0)))
    harness.settle()
    (event,) = harness.externals()
    assert event["labels"] == ["NOT_GRB"]
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "EM_COINC" in superevent["labels"]
    assert "RAVEN_ALERT" not in superevent["labels"]
    harness.notice(burst(packet=115))
    harness.settle()
    assert "NOT_GRB" not in labels(harness, event["graceid"])
    assert "RAVEN_ALERT" in labels(harness, superevent["superevent_id"])
    assert harness.dead() == []


def test_not_grb_set_by_hand_counts_above_the_notices_until_it_is_taken_away(harness: Harness) -> None:
    harness.notice(burst())
    harness.settle()
    (event,) = harness.externals()
    harness.server.client.write_label(event["graceid"], "NOT_GRB")
    harness.settle()
    harness.upload()
    harness.settle()
    (superevent,) = harness.superevents()
    assert "RAVEN_ALERT" not in superevent["labels"]
    harness.server.client.remove_label(event["graceid"], "NOT_GRB")
    harness.settle()
    assert "RAVEN_ALERT" in labels(harness, superevent["superevent_id"])


def test_a_json_notice_becomes_an_event_that_gracedb_can_read(harness: Harness) -> None:
    harness.notice(json.dumps(guano(ra=10.0, dec=20.0, ra_dec_error=0.2)).encode(), GUANO)
    harness.settle()
    (event,) = harness.externals()
    assert (event["pipeline"], event["search"]) == ("Swift", "SubGRBTargeted")
    assert event["gpstime"] == pytest.approx(1356558383.13 + 0.256 / 2)  # the centre of the interval
    assert event["extra_attributes"]["GRB"]["trigger_id"] == "694215995"
    assert event["extra_attributes"]["GRB"]["ra"] == 10.0
    stored = json.loads(harness.server.client.files(event["graceid"], "swift_bat_guano.json").read())
    assert stored == {**guano(ra=10.0, dec=20.0, ra_dec_error=0.2), "trigger_time": "2022-12-31T21:46:05.258000Z"}


def test_tests_become_test_events_and_never_meet_observations(harness: Harness) -> None:
    harness.upload()
    harness.notice(burst(role="test"))
    harness.settle()
    (event,) = harness.externals()
    assert event["group"] == "Test"
    assert [s["em_events"] for s in harness.superevents()] == [[]]


def test_of_two_superevents_the_one_less_likely_by_chance_is_the_coincidence(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first superevent loses the external event and the label when a rarer superevent appears."""
    monkeypatch.setitem(FACTS, "combine-skymaps", {"overlap_integral": 1e-6, "disjoint": False})
    harness.notice(burst(after=4.0))
    harness.upload(far=1e-6)
    harness.settle()
    (first,) = harness.superevents()
    assert first["em_events"]
    assert "RAVEN_ALERT" not in first["labels"]
    content = with_far(example_event("bns_hlv").read_bytes(), 1e-9)
    seconds = str(int(MERGER)).encode()
    content = content.replace(seconds, str(int(MERGER) + 2).encode())
    harness.upload(content=content)
    harness.settle()
    found = {s["preferred_event"]: s for s in harness.superevents()}
    one, two = found[first["preferred_event"]], next(s for g, s in found.items() if g != first["preferred_event"])
    assert (one["em_events"], bool(two["em_events"])) == ([], True)
    assert "EM_COINC" not in one["labels"]
    assert "EM_COINC" in two["labels"]
    assert harness.dead() == []


def test_an_event_that_gracedb_has_already_is_taken_over(harness: Harness) -> None:
    made = harness.server.client.create_event("External", "Fermi", "a.xml", search="GRB", filecontents=burst())
    harness.notice(burst())
    harness.settle()
    (event,) = harness.externals()
    assert event["graceid"] == made.json()["graceid"]
    (row,) = harness.ledger.read("SELECT graceid FROM external_events")
    assert row["graceid"] == event["graceid"]


def test_a_better_map_of_the_superevent_is_combined_anew(harness: Harness) -> None:
    harness.upload()
    harness.notice(burst())
    harness.settle()
    (superevent,) = harness.superevents()
    name = superevent["superevent_id"]
    harness.server.client.write_log(name, "better", filename="Bilby.multiorder.fits", filecontents=b"a map")
    harness.settle()
    combined = [name for name in harness.files(name) if name.startswith("combined-ext.multiorder")]
    assert combined == ["combined-ext.multiorder.fits,0", "combined-ext.multiorder.fits,1"]
    inputs = [
        json.loads(r["request"])["inputs"] for r in harness.ledger.read("SELECT * FROM jobs WHERE kind LIKE 'comb%'")
    ]
    assert {"gracedb": ["S@G0001", "Bilby.multiorder.fits,0"]} in [one["superevent.fits"] for one in inputs]


@pytest.mark.parametrize(
    ("payload", "topic", "reason"),
    [
        (b"<a", "gcn.classic.voevent.FERMI_GBM_FIN_POS", "XML"),
        (burst(), "gcn.classic.voevent.SWIFT_BAT_GRB_POS_ACK", "a VOEvent of type FERMI_GBM_FIN_POS"),
        (b'{"mission": "Hubble", "id": 1}', GUANO, "Cannot tell the mission"),
        (fermi(115, time="2090-01-01T00:00:00"), "", "future"),
        (voevent(Packet_Type=115, TrigID='../x"y'.replace('"', "&quot;")), "", "trigger id"),
        (voevent("ivo://else.where/Nobody#1", Packet_Type=115, TrigID=1), "", "unknown mission"),
    ],
)
def test_bad_notices_are_dead_letters_and_disturb_nothing(
    harness: Harness, payload: bytes, topic: str, reason: str
) -> None:
    harness.notice(payload, topic)
    harness.notice(burst())
    harness.settle()
    assert len(harness.externals()) == 1
    (dead,) = harness.dead()
    assert reason in dead


@pytest.mark.parametrize("filename", ["cwb.multiorder.fits", "cWB.fits.gz"])
def test_a_map_that_a_pipeline_made_is_combined_too(harness: Harness, filename: str) -> None:
    trigger = CWB.format(far=1e-10).replace("1029975254.50 1029975254.51", f"{MERGER} {MERGER}")
    made = harness.server.client.create_event("Burst", "CWB", "trigger.txt", search="AllSky", filecontents=trigger)
    graceid = str(made.json()["graceid"])
    harness.server.client.write_log(graceid, "by the pipeline", filename=filename, filecontents=b"a map")
    harness.settle()
    harness.notice(burst())
    harness.settle()
    (superevent,), (event,) = harness.superevents(), harness.externals()
    assert superevent["em_events"] == [event["graceid"]]
    for one in (superevent["superevent_id"], event["graceid"]):
        assert {f"{product},0" for product in JOINT} <= set(harness.files(one))
    (job,) = (row for row in harness.ledger.read("SELECT * FROM jobs") if row["kind"] == "combine-skymaps")
    source = json.loads(job["request"])["inputs"]["superevent.fits"]
    if filename == "cwb.multiorder.fits":
        assert source == {"gracedb": [graceid, "cwb.multiorder.fits,0"]}
    else:
        assert source["path"].endswith("bayestar.multiorder.fits"), "made here, under the ledger's name of any map"
    assert (harness.dead(), set(harness.states("jobs").values())) == ([], {"DONE"})
