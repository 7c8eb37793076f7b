"""The chain of public alerts, from a label to what astronomers receive, on brokers with the real Kafka protocol."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from gwbatch import circulars
from gwbatch.ledger import alert_switch
from tests.integration.alert_harness import FITS, REAL_DRAFT, AlertHarness
from tests.integration.brokers import BrokerProcess

PRELIMINARY, LESS = ("PRELIMINARY", True), ("PRELIMINARY", False)
INITIAL, UPDATE, RETRACTION = ("INITIAL", True), ("UPDATE", True), ("RETRACTION", None)
LESS_SIGNIFICANT = 2e-6  # Hz


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    return alerting


def signoff(harness: AlertHarness, status: str, *, change: bool = False) -> None:
    client = harness.server.client
    if change:
        client.update_signoff(harness.sid, "ADV", status=status, comment="second thoughts")
    else:
        client.create_signoff(harness.sid, "ADV", status, "looked at")


def labels(harness: AlertHarness) -> set[str]:
    return set(harness.superevent()["labels"])


# ---- what causes a notice -----------------------------------------------------------------------------------


def test_a_significant_event_is_announced_to_both_brokers(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(3)
    (avro,), (text,) = harness.received("scimma"), harness.received("gcn")
    for one in (avro, text):
        assert one.what == PRELIMINARY
        assert one.key == harness.sid
    assert avro.headers["_id"] == text.headers["_id"]
    assert avro.headers["_format"] == b"avro"
    assert avro.notice["event"]["skymap"] == FITS
    event = text.notice["event"]
    assert (event["group"], event["pipeline"], event["search"]) == ("CBC", "gstlal", "AllSky")
    assert event["classification"]["BNS"] == 0.99
    assert event["properties"] == {"HasNS": 1.0, "HasRemnant": 1.0}
    assert event["instruments"] == ["H1", "L1", "V1"]
    assert harness.notices() == [("preliminary", "stored")]
    assert {"GCN_PRELIM_SENT", "HIGH_PROFILE"} <= labels(harness)
    assert not harness.dead()


def test_the_links_of_a_notice_lead_to_public_files(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(3)
    (one,) = harness.received()
    urls = one.notice["urls"]
    assert urls["gracedb"] == f"{harness.server.url.removesuffix('api/')}superevents/{harness.sid}/view/"
    assert urls["skymap"].endswith(f"/api/superevents/{harness.sid}/files/bayestar.multiorder.fits,0")
    content = harness.server.client.files(harness.sid, "bayestar.multiorder.fits,0").read()
    assert content == FITS
    logs = harness.server.client.logs(harness.sid).json()["logs"]
    (copied,) = [entry for entry in logs if entry["filename"] == "bayestar.multiorder.fits"]
    assert "public" in copied["tag_names"]
    assert any(
        row["state"] == "done" for row in harness.ledger.read("SELECT state FROM effects WHERE key LIKE '%/expose'")
    )


def test_gracedb_keeps_notices_and_files(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(3)
    (stored,) = harness.server.client.notices(harness.sid).json()["notices"]
    assert stored["notice_type"] == "PR"
    content = harness.server.client.files(harness.sid, stored["filename"]).read()
    assert content == harness.received()[0].raw
    assert {f"{harness.sid}-preliminary.json,0", f"{harness.sid}-preliminary.avro,0"} <= set(harness.files(harness.sid))
    assert (
        harness.server.client.files(harness.sid, f"{harness.sid}-preliminary.avro").read()
        == harness.received("scimma")[0].raw
    )


def test_a_second_preliminary_follows_and_asks_for_a_report(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(200)
    assert harness.kinds() == [PRELIMINARY]
    assert "DQR_REQUEST" not in labels(harness)
    harness.settle(100)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]
    assert "DQR_REQUEST" in labels(harness)
    assert set(harness.superevent()["pipeline_preferred_events"]) == {"gstlal"}
    harness.settle(600)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]


def test_the_second_preliminary_survives_a_restart(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(100)
    harness.restart()
    harness.settle(200)
    assert [name for name, _ in harness.notices()] == ["preliminary", "second-preliminary"]


def test_the_second_preliminary_is_of_the_event_that_is_preferred_then(harness: AlertHarness) -> None:
    harness.upload("pycbc", far=1e-8)
    harness.settle(10)
    better = harness.upload("gstlal", far=1e-12)
    harness.server.client.write_label(better, "SKYMAP_READY")
    harness.settle(300)
    first, second = harness.received()
    assert first.notice["event"]["pipeline"] == "pycbc"
    assert second.notice["event"]["pipeline"] in ("pycbc", "gstlal")
    preferred = harness.superevent()["preferred_event_data"]
    assert second.notice["event"]["far"] == preferred["far"]
    assert second.notice["event"]["pipeline"] == preferred["pipeline"]


def test_a_less_significant_event_gets_its_own_two_notices(harness: AlertHarness) -> None:
    harness.upload(far=LESS_SIGNIFICANT)
    harness.settle(300)
    assert harness.kinds() == [LESS, LESS]
    assert "LOW_SIGNIF_PRELIM_SENT" in labels(harness)
    assert "GCN_PRELIM_SENT" not in labels(harness)
    assert "HIGH_PROFILE" not in labels(harness)


def test_a_significant_event_gets_no_less_significant_notice(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    rows = harness.ledger.read("SELECT reason FROM decisions WHERE action = 'no_notice'")
    assert [row["reason"] for row in rows] == ["not planned: the superevent is labelled SIGNIF_LOCKED"]


def test_a_superevent_that_becomes_significant_gets_both_kinds(harness: AlertHarness) -> None:
    harness.upload(far=LESS_SIGNIFICANT)
    harness.settle(10)
    harness.upload("pycbc", far=1e-12)
    harness.settle(300)
    assert harness.kinds() == [LESS, PRELIMINARY, PRELIMINARY]


def test_a_signoff_brings_the_initial_notice(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    signoff(harness, "OK")
    harness.settle(300)
    assert harness.kinds() == [PRELIMINARY, INITIAL]  # no second preliminary once a person has decided
    assert dict(harness.notices())["second-preliminary"] == "refused"
    assert any("ADVOK" in str(comment) for comment in harness.logs(harness.sid))


def test_a_refused_signoff_brings_a_retraction(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    signoff(harness, "NO")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, RETRACTION]
    last = harness.received()[-1].notice
    assert last["event"] is None
    assert last["external_coinc"] is None


def test_a_changed_mind_brings_a_notice_each_time(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    signoff(harness, "OK")
    harness.settle(5)
    for status in ("NO", "OK", "NO"):
        time.sleep(1.1)  # GraceDB's times are whole seconds, and identical alerts count as one
        signoff(harness, status, change=True)
        harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, INITIAL, RETRACTION, INITIAL, RETRACTION]
    assert [name for name, _ in harness.notices()][-2:] == ["initial-2", "retraction-2"]


def test_an_early_warning_is_followed_by_the_preliminary_of_the_full_search(harness: AlertHarness) -> None:
    content = None
    from gwbatch.config.resources import example_event
    from gwbatch.demo.pipelines import with_far

    content = with_far(example_event("bns_hlv").read_bytes(), 1e-9)
    made = harness.server.client.create_event(
        "CBC", "gstlal", "coinc.xml", search="EarlyWarning", filecontents=content, labels=["EARLY_WARNING"]
    )
    graceid = made.json()["graceid"]
    for name, value in (("gstlal.p_astro.json", {"BNS": 1.0}), ("em_bright.json", {"HasNS": 1.0})):
        harness.server.client.write_log(graceid, name, filename=name, filecontents=json.dumps(value))
    harness.settle(10)
    assert harness.kinds() == [("EARLYWARNING", True)]
    harness.upload("pycbc", far=1e-12)
    harness.settle(10)
    assert harness.kinds() == [("EARLYWARNING", True), PRELIMINARY]
    harness.settle(600)
    assert "DQR_REQUEST" in labels(harness)


# ---- what stops a notice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["DQV", "INJ"])
def test_a_veto_on_the_superevent_stops_the_second_preliminary(harness: AlertHarness, label: str) -> None:
    harness.upload()
    harness.settle(5)
    harness.server.client.write_label(harness.sid, label)
    harness.settle(300)
    assert harness.kinds() == [PRELIMINARY]
    assert harness.reasons()[-1] == f"blocked by the label {label}"


def test_a_notice_that_a_veto_has_stopped_goes_out_when_the_veto_has_gone(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    harness.server.client.write_label(harness.sid, "DQV")
    harness.settle(300)
    harness.server.client.remove_label(harness.sid, "DQV")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]


def test_an_injection_stops_the_initial_notice_and_not_the_retraction(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    harness.server.client.write_label(harness.sid, "INJ")
    signoff(harness, "OK")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY]
    signoff(harness, "NO", change=True)
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, RETRACTION]


def test_a_data_quality_veto_does_not_stop_the_initial_notice_unless_the_policy_says_so(harness: AlertHarness) -> None:
    harness.set_policy(blocked_also={"initial": ["DQV"]})
    harness.upload()
    harness.settle(5)
    harness.server.client.write_label(harness.sid, "DQV")
    signoff(harness, "OK")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY]
    harness.server.client.remove_label(harness.sid, "DQV")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, INITIAL]


def test_nothing_is_announced_where_alerts_are_off(harness: AlertHarness) -> None:
    harness.set_alerts(mode="off")
    harness.upload()
    harness.settle(5)
    assert harness.notices() == []
    assert harness.kinds() == []


def test_production_superevents_get_no_notice_in_mode_mdc(harness: AlertHarness) -> None:
    harness.set_alerts(mode="mdc")
    harness.upload()
    harness.settle(5)
    assert harness.notices() == []


def test_unannounced_superevents_are_retracted_unless_the_policy_says_no(harness: AlertHarness) -> None:
    harness.set_policy(retract_unannounced=False)
    harness.upload()
    with harness.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "a drill", harness.clock.now())
    harness.settle(5)
    signoff(harness, "NO")
    harness.settle(5)
    assert harness.notices() == [("preliminary", "withheld")]


# ---- products -----------------------------------------------------------------------------------------------


def test_a_missing_product_is_waited_for(harness: AlertHarness) -> None:
    graceid = harness.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        harness.server.client.write_label(graceid, label)
    harness.wait(10)
    assert harness.notices() == [("preliminary", "planned")]
    harness.server.client.write_log(graceid, "late", filename="gstlal.p_astro.json", filecontents='{"BNS": 1.0}')
    harness.server.client.write_log(graceid, "late", filename="em_bright.json", filecontents='{"HasNS": 0.5}')
    harness.settle(5)
    (one,) = harness.received()
    assert one.notice["event"]["classification"] == {"BNS": 1.0}
    assert one.notice["event"]["properties"] == {"HasNS": 0.5}


def test_a_notice_goes_without_what_never_comes_and_says_so(harness: AlertHarness) -> None:
    graceid = harness.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        harness.server.client.write_label(graceid, label)
    harness.settle(40)
    (one,) = harness.received()
    assert one.notice["event"]["classification"] == {}
    assert one.notice["event"]["skymap"] is not None
    assert any(
        "goes out without: em_bright.json: not available; p_astro.json: not available" in str(c)
        for c in harness.logs(harness.sid)
    )


def test_a_notice_does_not_go_without_what_the_policy_demands(harness: AlertHarness) -> None:
    harness.set_policy(not_without=["preliminary:p_astro.json"])
    graceid = harness.upload(nature=False)
    for label in ("PASTRO_READY", "EMBRIGHT_READY"):
        harness.server.client.write_label(graceid, label)
    harness.settle(40)
    assert harness.kinds() == []
    assert harness.reasons() == ["it must not go out without p_astro.json"]


@pytest.mark.parametrize("content", ["not json", "[1]", '{"BNS": "a"}', '{"BNS": NaN}', '{"BNS": 1e999}', "[" * 100000])
def test_a_broken_product_stops_nothing(harness: AlertHarness, content: str) -> None:
    graceid = harness.upload(nature=False)
    harness.server.client.write_log(graceid, "x", filename="gstlal.p_astro.json", filecontents=content)
    harness.server.client.write_log(graceid, "x", filename="em_bright.json", filecontents='{"HasNS": 0.5}')
    harness.settle(5)
    (one,) = harness.received()
    assert one.notice["event"]["classification"] == {}
    assert one.notice["event"]["properties"] == {"HasNS": 0.5}
    assert any("Cannot use gstlal.p_astro.json" in str(comment) for comment in harness.logs(harness.sid))


# ---- the switch ---------------------------------------------------------------------------------------------


def test_a_stop_counts_before_the_next_send_and_survives_a_restart(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    with harness.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "wrong calibration", harness.clock.now())
    harness.restart()
    harness.settle(300)
    assert harness.kinds() == [PRELIMINARY]
    assert dict(harness.notices())["second-preliminary"] == "withheld"
    assert "stopped by me" in harness.reasons()[-1]


def test_a_withheld_notice_goes_out_when_somebody_releases_it(harness: AlertHarness) -> None:
    from gwbatch.handlers.messages import ReleaseNotice
    from gwbatch.ledger.messages import send_message

    with harness.ledger.transaction() as tx:
        alert_switch.stop(tx, "me", "", harness.clock.now())
    harness.upload()
    harness.settle(5)
    assert harness.kinds() == []
    with harness.ledger.transaction() as tx:
        alert_switch.enable(tx, "me", [], harness.clock.now())
        send_message(tx, ReleaseNotice(1, "me"), harness.clock.now())
    harness.settle(5)
    assert harness.kinds() == harness.kinds("scimma") == [PRELIMINARY]
    assert harness.notices() == [("preliminary", "stored")]


def test_nothing_leaves_the_machine_unless_somebody_has_enabled_it(harness: AlertHarness) -> None:
    import msgspec

    brokers = {
        name: msgspec.structs.replace(broker, bootstrap=broker.bootstrap.replace("127.0.0.1", "127.0.0.2"))
        for name, broker in harness.profile.alerts.brokers.items()
    }
    assert not any(broker.is_loopback for broker in brokers.values())
    harness.set_alerts(brokers=brokers)
    harness.upload()
    harness.settle(5)
    assert harness.notices() == [("preliminary", "withheld")]
    assert "nobody has enabled alerts to 127.0.0.2" in harness.reasons()[0]


def test_a_dry_run_freezes_and_sends_nothing(harness: AlertHarness) -> None:
    harness.set_alerts(dry_run=True)
    harness.upload()
    harness.settle(300)
    assert harness.notices() == [("preliminary", "dry-run"), ("second-preliminary", "dry-run")]
    assert harness.kinds() == []
    assert not harness.server.client.notices(harness.sid).json()["notices"]
    assert not {"GCN_PRELIM_SENT", "DQR_REQUEST"} & labels(harness)


# ---- failures -----------------------------------------------------------------------------------------------


def test_one_broker_down_delays_nothing_at_the_other(harness: AlertHarness, brokers: dict[str, BrokerProcess]) -> None:
    brokers["scimma"].do(b"!down")
    try:
        harness.upload()
        harness.settle(5)
        assert harness.kinds() == [PRELIMINARY]
        assert harness.notices() == [("preliminary", "stored")]
        signoff(harness, "NO")
        harness.settle(5)
        assert harness.kinds() == [PRELIMINARY, RETRACTION]
    finally:
        brokers["scimma"].do(b"!up")
    harness.settle(60)
    assert harness.kinds("scimma") == [PRELIMINARY, RETRACTION]  # in order, each once


def test_gracedb_down_delays_no_notice_whose_files_are_here(harness: AlertHarness) -> None:
    harness.upload()
    harness.settle(5)
    harness.profile = _without_gracedb(harness)
    harness.restart()
    harness.settle(300)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]
    assert harness.notices()[-1] == ("second-preliminary", "delivered")


def _without_gracedb(harness: AlertHarness) -> Any:
    """Return the profile with GraceDB on a port where nothing listens."""
    import msgspec

    settings = msgspec.structs.replace(harness.profile.gracedb, url="http://127.0.0.1:9/api/", timeout=1.0)
    return msgspec.structs.replace(harness.profile, gracedb=settings)


# ---- circulars ----------------------------------------------------------------------------------------------


def test_circulars_are_drafted_by_the_fields_own_tool(harness: AlertHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circulars, "draft", REAL_DRAFT)
    harness.upload()
    harness.settle(3)
    signoff(harness, "NO")
    harness.settle(3)
    text = harness.server.client.files(harness.sid, "preliminary-circular.txt").read().decode()
    assert harness.sid in text
    assert "compact binary" in text
    text = harness.server.client.files(harness.sid, "retraction-circular.txt").read().decode()
    assert "Retraction" in text
    assert all(row["drafted"] for row in harness.ledger.read("SELECT drafted FROM public_notices"))


def test_a_draft_that_fails_touches_nothing(harness: AlertHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    from gwbatch.errors import BadInput

    def fail(request: object) -> str:
        raise BadInput("the tool says no")

    monkeypatch.setattr(circulars, "draft", fail)
    harness.upload()
    harness.settle(3)
    assert harness.notices() == [("preliminary", "stored")]
    assert not harness.dead()
