"""What notices contain and omit for every kind of source, on brokers with the real Kafka protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from gwbatch.config.resources import example_event
from gwbatch.demo.pipelines import with_far
from tests.integration.alert_harness import FITS, AlertHarness
from tests.integration.test_event_products import CWB

COINC = with_far(example_event("bns_hlv").read_bytes(), 1e-10)
P_ASTRO, EM_BRIGHT = {"BNS": 0.9, "Terrestrial": 0.1}, {"HasNS": 0.75, "HasRemnant": 0.5}
SSM = {"HasSSM": 1.0, "HasNS": 1.0, "HasMassGap": 0.0}
MLY = {"gpstime": 1029975254.5, "far": 1e-10, "ifos": ["H1", "L1"], "duration": 0.25, "central_freq": 300.0}


@dataclass(frozen=True)
class Source:
    """An upload, the files that its pipeline adds, and the contents that a notice must have."""

    group: str
    pipeline: str
    search: str
    content: bytes
    files: dict[str, Any]
    says: dict[str, Any]
    category: str = "Production"
    labels: list[str] = field(default_factory=list)


CBC_SAYS = {"group": "CBC", "classification": P_ASTRO, "properties": EM_BRIGHT, "duration": None}
SOURCES = {
    "CBC": Source(
        "CBC", "gstlal", "AllSky", COINC, {"gstlal.p_astro.json": P_ASTRO, "em_bright.json": EM_BRIGHT}, CBC_SAYS
    ),
    "SSM": Source(
        "CBC", "MBTA", "SSM", COINC, {"em_bright.json": SSM},
        {"group": "CBC", "search": "SSM", "classification": {}, "properties": SSM},
    ),
    "aframe": Source(
        "CBC", "aframe", "AllSky", COINC,
        {"amplfi.multiorder.fits": FITS, "aframe.p_astro.json": P_ASTRO, "em_bright.json": EM_BRIGHT},
        {**CBC_SAYS, "pipeline": "aframe"},
    ),
    "BBH": Source(
        "Burst", "CWB", "BBH", CWB.format(far=1e-10).encode(),
        {"cwb.multiorder.fits": FITS, "cwb.p_astro.json": P_ASTRO, "em_bright.json": EM_BRIGHT},
        {**CBC_SAYS, "pipeline": "CWB", "search": "BBH"},
    ),
    "cWB": Source(
        "Burst", "CWB", "AllSky", CWB.format(far=1e-10).encode(), {"cwb.multiorder.fits": FITS},
        {
            "group": "Burst", "classification": {}, "properties": {}, "duration": 0.05, "central_frequency": 120.0,
            "instruments": ["H1", "L1"],
        },
    ),
    "MLy": Source(
        "Burst", "MLy", "AllSky", json.dumps(MLY).encode(), {"mly.multiorder.fits": FITS},
        {"group": "Burst", "classification": {}, "properties": {}, "duration": 0.25, "central_frequency": 300.0},
    ),
    "MDC": Source(
        "CBC", "gstlal", "MDC", COINC, {"gstlal.p_astro.json": P_ASTRO, "em_bright.json": EM_BRIGHT},
        {**CBC_SAYS, "search": "MDC"}, category="MDC",
    ),
}  # fmt: skip


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    return alerting


def bring(harness: AlertHarness, source: Source, *leave_out: str) -> str:
    """Act as the pipeline of a source, but leave out files with the given endings; return the event's ID."""
    client = harness.server.client
    filename = "coinc.xml" if source.group == "CBC" else "trigger.txt"
    made = client.create_event(
        source.group, source.pipeline, filename, search=source.search, filecontents=source.content
    )
    graceid = str(made.json()["graceid"])
    for name, value in source.files.items():
        if not name.endswith(leave_out or ("nothing",)):
            content = value if isinstance(value, bytes) else json.dumps(value)
            client.write_log(graceid, name, filename=name, filecontents=content)
    return graceid


def superevent(harness: AlertHarness, source: Source) -> str:
    (found,) = harness.server.client.superevents(f"category: {source.category}")
    return str(found["superevent_id"])


@pytest.mark.parametrize("name", SOURCES)
def test_a_preliminary_says_what_is_known_of_its_source(harness: AlertHarness, name: str) -> None:
    source = SOURCES[name]
    bring(harness, source)
    harness.settle(8)
    (json_form,), (avro,) = harness.received("gcn"), harness.received("scimma")
    assert json_form.what == avro.what == ("PRELIMINARY", True)
    for notice in (json_form.notice, avro.notice):
        assert {key: notice["event"][key] for key in source.says} == source.says
        assert notice["superevent_id"] == superevent(harness, source)
    assert avro.notice["event"]["skymap"] == FITS
    assert not harness.dead()


@pytest.mark.parametrize("name", SOURCES)
def test_an_initial_and_a_retraction_follow_whatever_the_source(harness: AlertHarness, name: str) -> None:
    source = SOURCES[name]
    bring(harness, source)
    harness.settle(5)
    sid, client = superevent(harness, source), harness.server.client
    client.create_signoff(sid, "ADV", "OK", "")
    harness.settle(5)
    client.update_signoff(sid, "ADV", status="NO", comment="")
    harness.settle(5)
    assert [kind for kind, _ in harness.kinds()] == ["PRELIMINARY", "INITIAL", "RETRACTION"]
    initial = harness.received()[1].notice
    assert {key: initial["event"][key] for key in source.says} == source.says


@pytest.mark.parametrize("name", ["BBH", "cWB"])
def test_a_burst_without_its_map_is_announced_in_time(harness: AlertHarness, name: str) -> None:
    source = SOURCES[name]
    graceid = bring(harness, source, ".multiorder.fits")
    harness.server.client.write_label(graceid, "SKYMAP_READY")
    harness.settle(70)
    (one,) = harness.received()
    assert one.notice["event"]["skymap"] is None
    assert "skymap" not in one.notice["urls"]
    late = harness.ledger.read("SELECT frozen - planned AS wait FROM public_notices")[0]["wait"]
    assert 60 <= late < 65


def test_mdc_superevents_are_announced_where_only_they_are(harness: AlertHarness) -> None:
    harness.set_alerts(mode="mdc")
    bring(harness, SOURCES["CBC"])
    bring(harness, SOURCES["MDC"])
    harness.settle(8)
    (one,) = harness.received()
    assert one.notice["superevent_id"].startswith("MS")


def test_a_broker_gets_only_the_categories_that_it_is_for(harness: AlertHarness) -> None:
    import msgspec

    brokers = dict(harness.profile.alerts.brokers)
    brokers["gcn"] = msgspec.structs.replace(brokers["gcn"], categories=["mdc"])
    harness.set_alerts(brokers=brokers)
    bring(harness, SOURCES["CBC"])
    bring(harness, SOURCES["MDC"])
    harness.settle(8)
    assert [one.notice["superevent_id"][0] for one in harness.received("gcn")] == ["M"]
    assert sorted(one.notice["superevent_id"][0] for one in harness.received("scimma")) == ["M", "S"]


def test_test_superevents_reach_nobody(harness: AlertHarness) -> None:
    harness.server.client.create_event("Test", "gstlal", "coinc.xml", search="AllSky", filecontents=COINC)
    harness.settle(3)
    made = harness.server.client.create_superevent(1029975253.0, 1029975254.0, 1029975255.0, "T0001", category="T")
    sid = made.json()["superevent_id"]
    harness.settle(1)
    for label in ("LOW_SIGNIF_LOCKED", "SIGNIF_LOCKED", "EARLY_WARNING"):
        harness.server.client.write_label(sid, label)
    harness.settle(5)
    assert harness.notices() == []
    assert harness.kinds() == []


# ---- sizes --------------------------------------------------------------------------------------------------


def test_a_notice_that_is_too_large_for_a_broker_goes_without_its_map(harness: AlertHarness) -> None:
    import msgspec

    brokers = dict(harness.profile.alerts.brokers)
    brokers["gcn"] = msgspec.structs.replace(brokers["gcn"], max_bytes=10_000)
    harness.set_alerts(brokers=brokers)
    source = SOURCES["cWB"]
    files = {"cwb.multiorder.fits": FITS + b"\0" * 2880 * 10}
    bring(harness, Source(source.group, source.pipeline, source.search, source.content, files, {}))
    harness.settle(8)
    (small,), (whole,) = harness.received("gcn"), harness.received("scimma")
    assert small.notice["event"]["skymap"] is None
    assert small.notice["urls"]["skymap"].endswith("cwb.multiorder.fits,0")
    assert len(whole.notice["event"]["skymap"]) > 28_800
    (stored,) = harness.server.client.notices(harness.sid).json()["notices"]
    kept = json.loads(harness.server.client.files(harness.sid, stored["filename"]).read())
    assert kept["event"]["skymap"] is not None
