"""Faults of the field's existing alert chain that gwbatch must not share, except those that other tests cover.

These are notices recorded as sent too early, undelivered notices that are forgotten, notices lost to a single 503,
helpers whose failure stops a notice, and false statements in notices. Label races are tested in
`test_alert_failures`, vetoes in `test_alert_chain` and `test_data_quality`.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.integration.alert_harness import AlertHarness
from tests.integration.brokers import BrokerProcess
from tests.integration.test_notice_to_coincidence import burst

PRELIMINARY, INITIAL, RETRACTION = ("PRELIMINARY", True), ("INITIAL", True), ("RETRACTION", None)


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    return alerting


def labels(harness: AlertHarness) -> set[str]:
    return set(harness.superevent()["labels"])


def test_nothing_is_called_sent_before_a_broker_has_it(
    harness: AlertHarness, brokers: dict[str, BrokerProcess]
) -> None:
    for broker in brokers.values():
        broker.do(b"!down")
    try:
        harness.upload()
        harness.settle(5)
        assert harness.notices() == [("preliminary", "frozen")]
        assert "GCN_PRELIM_SENT" not in labels(harness)
        assert not harness.server.client.notices(harness.sid).json()["notices"]
        assert not [name for name in harness.files(harness.sid) if "preliminary" in name]
    finally:
        for broker in brokers.values():
            broker.do(b"!up")
    harness.settle(60)
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY]
    assert "GCN_PRELIM_SENT" in labels(harness)


def test_a_503_delays_the_initial_notice_and_loses_nothing(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.upload()
    harness.settle(5)
    harness.server.client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.carry()
    client = harness.runtime.gracedb().client
    real = client.request

    def busy(*args: Any, **kwargs: Any) -> Any:
        response = requests.Response()
        response.status_code = 503
        response._content = b"busy"
        raise requests.HTTPError("busy", response=response)

    monkeypatch.setattr(client, "request", busy)
    harness.settle(30)
    assert harness.kinds() == [PRELIMINARY, INITIAL]  # its files are on this machine
    monkeypatch.setattr(client, "request", real)
    harness.settle(120)
    assert harness.notices() == [("preliminary", "stored"), ("initial", "stored")]
    assert not harness.dead()


@pytest.mark.parametrize("helper", ["modify_permissions", "add_tag", "add_pipeline_preferred_event"])
def test_a_helper_that_fails_for_good_stops_no_notice(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch, helper: str
) -> None:
    harness.settle(0.5)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        response = requests.Response()
        response.status_code = 400
        response._content = b"never"
        raise requests.HTTPError("refused", response=response)

    monkeypatch.setattr(harness.runtime.gracedb().client, helper, refuse)
    harness.upload()
    harness.settle(300)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]
    assert all(state == "stored" for _, state in harness.notices())


def test_an_initial_notice_of_a_less_significant_superevent_does_not_call_it_significant(harness: AlertHarness) -> None:
    harness.upload(far=2e-6)
    harness.settle(5)
    harness.server.client.write_label(harness.sid, "ADVREQ")
    harness.server.client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.settle(5)
    assert harness.kinds() == [("PRELIMINARY", False), ("INITIAL", False)]


def test_a_pipelines_preferred_event_is_named_without_a_notice_about_it(harness: AlertHarness) -> None:
    harness.upload()
    harness.upload("pycbc", far=2e-9)
    harness.settle(300)
    assert set(harness.superevent()["pipeline_preferred_events"]) == {"gstlal", "pycbc"}
    assert [one.notice["event"]["pipeline"] for one in harness.received()] == ["gstlal", "gstlal"]


def test_a_coincidence_is_told_from_the_next_notice_on(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(10)
    harness.notice(burst())
    harness.settle(300)
    first, second = harness.received()
    assert first.notice["external_coinc"] is None
    found = second.notice["external_coinc"]
    assert (found["observatory"], found["search"], found["gcn_notice_id"]) == ("Fermi", "GRB", 524666471)
    assert found["time_difference"] == pytest.approx(2.0, abs=0.01)
    assert found["ivorn"].startswith("ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos")
    assert found["time_sky_position_coincidence_far"] < found["time_coincidence_far"]
    assert second.notice["urls"]["combined_skymap"].endswith("combined-ext.multiorder.fits,0")
    assert harness.received("scimma")[1].notice["external_coinc"]["combined_skymap"].startswith(b"SIMPLE")
    harness.server.client.create_signoff(harness.sid, "ADV", "NO", "")
    harness.settle(5)
    assert harness.received()[-1].notice["external_coinc"] is None
