"""The faults of the field's own chain, each of which must not be ours; those that other tests show are not repeated.

Sent before sent, undelivered and forgotten, one 503 and lost, a helper's failure that stops a notice, and notices that
say what is not so. Label races are in `test_alert_trouble`, vetoes in `test_alert_chain` and `test_data_quality`.
"""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.integration.alert_rig import AlertRig
from tests.integration.brokers import BrokerProcess
from tests.integration.test_way_of_a_notice import burst

PRELIMINARY, INITIAL, RETRACTION = ("PRELIMINARY", True), ("INITIAL", True), ("RETRACTION", None)


@pytest.fixture(name="rig")
def _rig(alerting: AlertRig) -> AlertRig:
    return alerting


def labels(rig: AlertRig) -> set[str]:
    return set(rig.superevent()["labels"])


def test_nothing_is_called_sent_before_a_broker_has_it(rig: AlertRig, brokers: dict[str, BrokerProcess]) -> None:
    for broker in brokers.values():
        broker.do(b"!down")
    try:
        rig.upload()
        rig.settle(5)
        assert rig.notices() == [("preliminary", "frozen")]
        assert "GCN_PRELIM_SENT" not in labels(rig)
        assert not rig.server.client.notices(rig.sid).json()["notices"]
        assert not [name for name in rig.files(rig.sid) if "preliminary" in name]
    finally:
        for broker in brokers.values():
            broker.do(b"!up")
    rig.settle(60)
    assert rig.kinds() == rig.kinds("scimma") == [PRELIMINARY]
    assert "GCN_PRELIM_SENT" in labels(rig)


def test_a_503_delays_the_initial_notice_and_loses_nothing(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.upload()
    rig.settle(5)
    rig.server.client.create_signoff(rig.sid, "ADV", "OK", "")
    rig.carry()
    client = rig.runtime.gracedb().client
    real = client.request

    def busy(*args: Any, **kwargs: Any) -> Any:
        response = requests.Response()
        response.status_code = 503
        response._content = b"busy"
        raise requests.HTTPError("busy", response=response)

    monkeypatch.setattr(client, "request", busy)
    rig.settle(30)
    assert rig.kinds() == [PRELIMINARY, INITIAL]  # its files are here
    monkeypatch.setattr(client, "request", real)
    rig.settle(120)
    assert rig.notices() == [("preliminary", "stored"), ("initial", "stored")]
    assert not rig.dead()


@pytest.mark.parametrize("helper", ["modify_permissions", "add_tag", "add_pipeline_preferred_event"])
def test_a_helper_that_fails_for_good_stops_no_notice(
    rig: AlertRig, monkeypatch: pytest.MonkeyPatch, helper: str
) -> None:
    rig.settle(0.5)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        response = requests.Response()
        response.status_code = 400
        response._content = b"never"
        raise requests.HTTPError("refused", response=response)

    monkeypatch.setattr(rig.runtime.gracedb().client, helper, refuse)
    rig.upload()
    rig.settle(300)
    assert rig.kinds() == [PRELIMINARY, PRELIMINARY]
    assert all(state == "stored" for _, state in rig.notices())


def test_an_initial_notice_of_a_less_significant_superevent_does_not_call_it_significant(rig: AlertRig) -> None:
    rig.upload(far=2e-6)
    rig.settle(5)
    rig.server.client.write_label(rig.sid, "ADVREQ")
    rig.server.client.create_signoff(rig.sid, "ADV", "OK", "")
    rig.settle(5)
    assert rig.kinds() == [("PRELIMINARY", False), ("INITIAL", False)]


def test_a_pipelines_preferred_event_is_named_without_a_notice_about_it(rig: AlertRig) -> None:
    rig.upload()
    rig.upload("pycbc", far=2e-9)
    rig.settle(300)
    assert set(rig.superevent()["pipeline_preferred_events"]) == {"gstlal", "pycbc"}
    assert [one.notice["event"]["pipeline"] for one in rig.received()] == ["gstlal", "gstlal"]


def test_a_coincidence_is_told_from_the_next_notice_on(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(10)
    rig.notice(burst())
    rig.settle(300)
    first, second = rig.received()
    assert first.notice["external_coinc"] is None
    found = second.notice["external_coinc"]
    assert (found["observatory"], found["search"], found["gcn_notice_id"]) == ("Fermi", "GRB", 524666471)
    assert found["time_difference"] == pytest.approx(2.0, abs=0.01)
    assert found["ivorn"].startswith("ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos")
    assert found["time_sky_position_coincidence_far"] < found["time_coincidence_far"]
    assert second.notice["urls"]["combined_skymap"].endswith("combined-ext.multiorder.fits,0")
    assert rig.received("scimma")[1].notice["external_coinc"]["combined_skymap"].startswith(b"SIMPLE")
    rig.server.client.create_signoff(rig.sid, "ADV", "NO", "")
    rig.settle(5)
    assert rig.received()[-1].notice["external_coinc"] is None
