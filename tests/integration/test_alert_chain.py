"""The chain of public alerts, from a label to what astronomers receive, on brokers with a real Kafka protocol."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gwbatch import circulars
from gwbatch.ledger import alert_switch
from tests.integration.alert_rig import FITS, REAL_DRAFT, AlertRig
from tests.integration.brokers import BrokerProcess

PRELIMINARY, LESS = ("PRELIMINARY", True), ("PRELIMINARY", False)
INITIAL, UPDATE, RETRACTION = ("INITIAL", True), ("UPDATE", True), ("RETRACTION", None)
LESS_SIGNIFICANT = 2e-6  # Hz


@pytest.fixture(name="rig")
def _rig(alerting: AlertRig) -> AlertRig:
    return alerting


def signoff(rig: AlertRig, status: str, *, change: bool = False) -> None:
    client = rig.server.client
    if change:
        client.update_signoff(rig.sid, "ADV", status=status, comment="second thoughts")
    else:
        client.create_signoff(rig.sid, "ADV", status, "looked at")


def labels(rig: AlertRig) -> set[str]:
    return set(rig.superevent()["labels"])


# ---- what asks for a notice ---------------------------------------------------------------------------------


def test_a_significant_event_is_announced_to_both_brokers(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(3)
    (avro,), (text,) = rig.received("scimma"), rig.received("gcn")
    for one in (avro, text):
        assert one.what == PRELIMINARY
        assert one.key == rig.sid
    assert avro.headers["_id"] == text.headers["_id"]
    assert avro.headers["_format"] == b"avro"
    assert avro.notice["event"]["skymap"] == FITS
    event = text.notice["event"]
    assert (event["group"], event["pipeline"], event["search"]) == ("CBC", "gstlal", "AllSky")
    assert event["classification"]["BNS"] == 0.99
    assert event["properties"] == {"HasNS": 1.0, "HasRemnant": 1.0}
    assert event["instruments"] == ["H1", "L1", "V1"]
    assert rig.notices() == [("preliminary", "stored")]
    assert {"GCN_PRELIM_SENT", "HIGH_PROFILE"} <= labels(rig)
    assert not rig.dead()


def test_the_links_of_a_notice_lead_to_public_files(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(3)
    (one,) = rig.received()
    urls = one.notice["urls"]
    assert urls["gracedb"] == f"{rig.server.url.removesuffix('api/')}superevents/{rig.sid}/view/"
    assert urls["skymap"].endswith(f"/api/superevents/{rig.sid}/files/bayestar.multiorder.fits,0")
    content = rig.server.client.files(rig.sid, "bayestar.multiorder.fits,0").read()
    assert content == FITS
    logs = rig.server.client.logs(rig.sid).json()["logs"]
    (copied,) = [entry for entry in logs if entry["filename"] == "bayestar.multiorder.fits"]
    assert "public" in copied["tag_names"]
    assert any(row["state"] == "done" for row in rig.ledger.read("SELECT state FROM effects WHERE key LIKE '%/expose'"))


def test_gracedb_keeps_notices_and_files(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(3)
    (stored,) = rig.server.client.notices(rig.sid).json()["notices"]
    assert stored["notice_type"] == "PR"
    content = rig.server.client.files(rig.sid, stored["filename"]).read()
    assert content == rig.received()[0].raw
    assert {f"{rig.sid}-preliminary.json,0", f"{rig.sid}-preliminary.avro,0"} <= set(rig.files(rig.sid))
    assert rig.server.client.files(rig.sid, f"{rig.sid}-preliminary.avro").read() == rig.received("scimma")[0].raw


def test_a_second_preliminary_follows_and_asks_for_a_report(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(200)
    assert rig.kinds() == [PRELIMINARY]
    assert "DQR_REQUEST" not in labels(rig)
    rig.settle(100)
    assert rig.kinds() == [PRELIMINARY, PRELIMINARY]
    assert "DQR_REQUEST" in labels(rig)
    assert set(rig.superevent()["pipeline_preferred_events"]) == {"gstlal"}
    rig.settle(600)
    assert rig.kinds() == [PRELIMINARY, PRELIMINARY]


def test_the_second_preliminary_survives_a_restart(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(100)
    rig.restart()
    rig.settle(200)
    assert [name for name, _ in rig.notices()] == ["preliminary", "second-preliminary"]


def test_the_second_preliminary_is_of_the_event_that_is_preferred_then(rig: AlertRig) -> None:
    rig.upload("pycbc", far=1e-8)
    rig.settle(10)
    better = rig.upload("gstlal", far=1e-12)
    rig.server.client.write_label(better, "SKYMAP_READY")
    rig.settle(300)
    first, second = rig.received()
    assert first.notice["event"]["pipeline"] == "pycbc"
    assert second.notice["event"]["pipeline"] in ("pycbc", "gstlal")
    preferred = rig.superevent()["preferred_event_data"]
    assert second.notice["event"]["far"] == preferred["far"]
    assert second.notice["event"]["pipeline"] == preferred["pipeline"]


def test_a_less_significant_event_gets_its_own_two_notices(rig: AlertRig) -> None:
    rig.upload(far=LESS_SIGNIFICANT)
    rig.settle(300)
    assert rig.kinds() == [LESS, LESS]
    assert "LOW_SIGNIF_PRELIM_SENT" in labels(rig)
    assert "GCN_PRELIM_SENT" not in labels(rig)
    assert "HIGH_PROFILE" not in labels(rig)


def test_a_significant_event_gets_no_less_significant_notice(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    rows = rig.ledger.read("SELECT reason FROM decisions WHERE action = 'no_notice'")
    assert [row["reason"] for row in rows] == ["not planned: the superevent bears SIGNIF_LOCKED"]


def test_a_superevent_that_becomes_significant_gets_both_kinds(rig: AlertRig) -> None:
    rig.upload(far=LESS_SIGNIFICANT)
    rig.settle(10)
    rig.upload("pycbc", far=1e-12)
    rig.settle(300)
    assert rig.kinds() == [LESS, PRELIMINARY, PRELIMINARY]


def test_a_signoff_brings_the_initial_notice(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    signoff(rig, "OK")
    rig.settle(300)
    assert rig.kinds() == [PRELIMINARY, INITIAL]  # and no second preliminary after a person has decided
    assert dict(rig.notices())["second-preliminary"] == "refused"
    assert any("ADVOK" in str(comment) for comment in rig.logs(rig.sid))


def test_a_refused_signoff_brings_a_retraction(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    signoff(rig, "NO")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, RETRACTION]
    last = rig.received()[-1].notice
    assert last["event"] is None
    assert last["external_coinc"] is None


def test_a_changed_mind_brings_a_notice_each_time(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    signoff(rig, "OK")
    rig.settle(5)
    for status in ("NO", "OK", "NO"):
        time.sleep(1.1)  # GraceDB's times are whole seconds, and two alerts that are alike are one
        signoff(rig, status, change=True)
        rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, INITIAL, RETRACTION, INITIAL, RETRACTION]
    assert [name for name, _ in rig.notices()][-2:] == ["initial-2", "retraction-2"]


def test_an_early_warning_is_followed_by_the_preliminary_of_the_full_search(rig: AlertRig) -> None:
    content = None
    from gwbatch.config.resources import demo_event
    from gwbatch.demo.pipelines import with_far

    content = with_far(demo_event("bns_hlv").read_bytes(), 1e-9)
    made = rig.server.client.create_event(
        "CBC", "gstlal", "coinc.xml", search="EarlyWarning", filecontents=content, labels=["EARLY_WARNING"]
    )
    graceid = made.json()["graceid"]
    for name, value in (("gstlal.p_astro.json", {"BNS": 1.0}), ("em_bright.json", {"HasNS": 1.0})):
        rig.server.client.write_log(graceid, name, filename=name, filecontents=json.dumps(value))
    rig.settle(10)
    assert rig.kinds() == [("EARLYWARNING", True)]
    rig.upload("pycbc", far=1e-12)
    rig.settle(10)
    assert rig.kinds() == [("EARLYWARNING", True), PRELIMINARY]
    rig.settle(600)
    assert "DQR_REQUEST" in labels(rig)


# ---- what stops one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["DQV", "INJ"])
def test_a_veto_on_the_superevent_stops_the_second_preliminary(rig: AlertRig, label: str) -> None:
    rig.upload()
    rig.settle(5)
    rig.server.client.write_label(rig.sid, label)
    rig.settle(300)
    assert rig.kinds() == [PRELIMINARY]
    assert rig.reasons()[-1] == f"blocked by the label {label}"


def test_a_notice_that_a_veto_has_stopped_goes_out_when_the_veto_has_gone(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    rig.server.client.write_label(rig.sid, "DQV")
    rig.settle(300)
    rig.server.client.remove_label(rig.sid, "DQV")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, PRELIMINARY]


def test_an_injection_stops_the_initial_notice_and_not_the_retraction(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    rig.server.client.write_label(rig.sid, "INJ")
    signoff(rig, "OK")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY]
    signoff(rig, "NO", change=True)
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, RETRACTION]


def test_a_data_quality_veto_does_not_stop_the_initial_notice_unless_the_policy_says_so(rig: AlertRig) -> None:
    rig.set_policy(blocked_also={"initial": ["DQV"]})
    rig.upload()
    rig.settle(5)
    rig.server.client.write_label(rig.sid, "DQV")
    signoff(rig, "OK")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY]
    rig.server.client.remove_label(rig.sid, "DQV")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, INITIAL]


def test_nothing_is_announced_where_alerts_are_off(rig: AlertRig) -> None:
    rig.set_alerts(mode="off")
    rig.upload()
    rig.settle(5)
    assert rig.notices() == []
    assert rig.kinds() == []


def test_production_superevents_get_no_notice_in_mode_mdc(rig: AlertRig) -> None:
    rig.set_alerts(mode="mdc")
    rig.upload()
    rig.settle(5)
    assert rig.notices() == []


def test_unannounced_superevents_are_retracted_unless_the_policy_says_no(rig: AlertRig) -> None:
    rig.set_policy(retract_unannounced=False)
    rig.upload()
    with rig.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "a drill", rig.clock.now())
    rig.settle(5)
    signoff(rig, "NO")
    rig.settle(5)
    assert rig.notices() == [("preliminary", "withheld")]


# ---- products -----------------------------------------------------------------------------------------------


def test_a_missing_product_is_waited_for(rig: AlertRig) -> None:
    graceid = rig.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        rig.server.client.write_label(graceid, label)
    rig.wait(10)
    assert rig.notices() == [("preliminary", "planned")]
    rig.server.client.write_log(graceid, "late", filename="gstlal.p_astro.json", filecontents='{"BNS": 1.0}')
    rig.server.client.write_log(graceid, "late", filename="em_bright.json", filecontents='{"HasNS": 0.5}')
    rig.settle(5)
    (one,) = rig.received()
    assert one.notice["event"]["classification"] == {"BNS": 1.0}
    assert one.notice["event"]["properties"] == {"HasNS": 0.5}


def test_a_notice_goes_without_what_never_comes_and_says_so(rig: AlertRig) -> None:
    graceid = rig.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        rig.server.client.write_label(graceid, label)
    rig.settle(40)
    (one,) = rig.received()
    assert one.notice["event"]["classification"] == {}
    assert one.notice["event"]["skymap"] is not None
    assert any("goes without: em_bright.json: not there; p_astro.json: not there" in str(c) for c in rig.logs(rig.sid))


def test_a_notice_does_not_go_without_what_the_policy_demands(rig: AlertRig) -> None:
    rig.set_policy(not_without=["preliminary:p_astro.json"])
    graceid = rig.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        rig.server.client.write_label(graceid, label)
    rig.settle(40)
    assert rig.kinds() == []
    assert rig.reasons() == ["it must not go without p_astro.json"]


@pytest.mark.parametrize("content", ["not json", "[1]", '{"BNS": "a"}', '{"BNS": NaN}', '{"BNS": 1e999}', "[" * 100000])
def test_a_broken_product_stops_nothing(rig: AlertRig, content: str) -> None:
    graceid = rig.upload(nature=False)
    rig.server.client.write_log(graceid, "x", filename="gstlal.p_astro.json", filecontents=content)
    rig.server.client.write_log(graceid, "x", filename="em_bright.json", filecontents='{"HasNS": 0.5}')
    rig.settle(5)
    (one,) = rig.received()
    assert one.notice["event"]["classification"] == {}
    assert one.notice["event"]["properties"] == {"HasNS": 0.5}
    assert any("Cannot use gstlal.p_astro.json" in str(comment) for comment in rig.logs(rig.sid))


# ---- the switch ---------------------------------------------------------------------------------------------


def test_a_stop_counts_before_the_next_send_and_survives_a_restart(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    with rig.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "wrong calibration", rig.clock.now())
    rig.restart()
    rig.settle(300)
    assert rig.kinds() == [PRELIMINARY]
    assert dict(rig.notices())["second-preliminary"] == "withheld"
    assert "stopped by me" in rig.reasons()[-1]


def test_a_withheld_notice_goes_out_when_somebody_releases_it(rig: AlertRig) -> None:
    from gwbatch.handlers.messages import ReleaseNotice
    from gwbatch.ledger.messages import send_message

    with rig.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "", rig.clock.now())
    rig.upload()
    rig.settle(5)
    assert rig.kinds() == []
    with rig.ledger.transaction() as tx:
        alert_switch.enable(tx, "me", [], rig.clock.now())
        send_message(tx, ReleaseNotice(1, "me"), rig.clock.now())
    rig.settle(5)
    assert rig.kinds() == rig.kinds("scimma") == [PRELIMINARY]
    assert rig.notices() == [("preliminary", "stored")]


def test_nothing_leaves_the_machine_unless_somebody_has_enabled_it(rig: AlertRig) -> None:
    import msgspec

    brokers = {
        name: msgspec.structs.replace(broker, bootstrap=broker.bootstrap.replace("127.0.0.1", "127.0.0.2"))
        for name, broker in rig.profile.alerts.brokers.items()
    }
    assert not any(broker.is_loopback for broker in brokers.values())
    rig.set_alerts(brokers=brokers)
    rig.upload()
    rig.settle(5)
    assert rig.notices() == [("preliminary", "withheld")]
    assert "nobody has enabled alerts to 127.0.0.2" in rig.reasons()[0]


def test_a_dry_run_freezes_and_sends_nothing(rig: AlertRig) -> None:
    rig.set_alerts(dry_run=True)
    rig.upload()
    rig.settle(300)
    assert rig.notices() == [("preliminary", "dry-run"), ("second-preliminary", "dry-run")]
    assert rig.kinds() == []
    assert not rig.server.client.notices(rig.sid).json()["notices"]
    assert not {"GCN_PRELIM_SENT", "DQR_REQUEST"} & labels(rig)


# ---- trouble ------------------------------------------------------------------------------------------------


def test_one_broker_down_delays_nothing_at_the_other(rig: AlertRig, brokers: dict[str, BrokerProcess]) -> None:
    brokers["scimma"].do(b"!down")
    try:
        rig.upload()
        rig.settle(5)
        assert rig.kinds() == [PRELIMINARY]
        assert rig.notices() == [("preliminary", "stored")]
        signoff(rig, "NO")
        rig.settle(5)
        assert rig.kinds() == [PRELIMINARY, RETRACTION]
    finally:
        brokers["scimma"].do(b"!up")
    rig.settle(60)
    assert rig.kinds("scimma") == [PRELIMINARY, RETRACTION]  # in order, and each once


def test_gracedb_down_delays_no_notice_whose_files_are_here(rig: AlertRig) -> None:
    rig.upload()
    rig.settle(5)
    rig.profile = _without_gracedb(rig)
    rig.restart()
    rig.settle(300)
    assert rig.kinds() == [PRELIMINARY, PRELIMINARY]
    assert rig.notices()[-1] == ("second-preliminary", "delivered")


def _without_gracedb(rig: AlertRig) -> Any:
    """GraceDB at a port where nobody listens."""
    import msgspec

    settings = msgspec.structs.replace(rig.profile.gracedb, url="http://127.0.0.1:9/api/", timeout=1.0)
    return msgspec.structs.replace(rig.profile, gracedb=settings)


# ---- circulars ----------------------------------------------------------------------------------------------


def test_circulars_are_drafted_by_the_fields_own_tool(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circulars, "draft", REAL_DRAFT)
    rig.upload()
    rig.settle(3)
    signoff(rig, "NO")
    rig.settle(3)
    text = rig.server.client.files(rig.sid, "preliminary-circular.txt").read().decode()
    assert rig.sid in text
    assert "compact binary" in text
    text = rig.server.client.files(rig.sid, "retraction-circular.txt").read().decode()
    assert "Retraction" in text
    assert all(row["drafted"] for row in rig.ledger.read("SELECT drafted FROM public_notices"))


def test_a_draft_that_fails_touches_nothing(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    from gwbatch.errors import BadInput

    def fail(request: object) -> str:
        raise BadInput("the tool says no")

    monkeypatch.setattr(circulars, "draft", fail)
    rig.upload()
    rig.settle(3)
    assert rig.notices() == [("preliminary", "stored")]
    assert not rig.dead()
