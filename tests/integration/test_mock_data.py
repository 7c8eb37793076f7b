"""Mock data: regular mock events that go all the way to the signoff, and the findings when one does not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gwbatch import circulars, mdc
from gwbatch.cli import cli
from gwbatch.config.resources import example_event
from gwbatch.dispatcher.service import set_timers
from gwbatch.errors import BadInput
from gwbatch.executors.notices.producer import forget_publishers
from gwbatch.external import parse_notice
from gwbatch.ledger import in_force
from gwbatch.reports.status import report
from tests.integration.alert_harness import AlertHarness, draft_quickly
from tests.integration.brokers import BrokerProcess
from tests.integration.harness import Server


@pytest.fixture(name="harness")
def _harness(
    tmp_path: Path, server: Server, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AlertHarness]:
    monkeypatch.setattr(circulars, "draft", draft_quickly)
    made = AlertHarness(tmp_path / "state", server, brokers)
    made.set_alerts(mode="mdc", mdc_every=3600.0)
    with made.ledger.transaction() as tx:
        in_force.record(tx, made.policy, made.profile, made.clock.now())
        set_timers(tx, made.registry, made.clock.now())
    yield made
    made.ledger.close()
    forget_publishers()


def bring_p_astro(harness: AlertHarness) -> None:
    """Upload the probabilities as a pipeline would, because the harness's jobs write none."""
    for event in harness.server.client.events("search: MDC"):
        for name, value in (("gstlal.p_astro.json", {"BNS": 1.0}), ("em_bright.json", {"HasNS": 1.0})):
            harness.server.client.write_log(event["graceid"], name, filename=name, filecontents=json.dumps(value))


def test_every_hour_a_mock_event_goes_all_the_way(harness: AlertHarness) -> None:
    harness.settle(3605)
    (event,) = harness.server.client.events("search: MDC")
    assert event["far"] == mdc.FAR
    bring_p_astro(harness)
    harness.settle(310)
    harness.settle(700)
    assert [kind for kind, _ in harness.kinds()] == ["PRELIMINARY", "PRELIMINARY", "INITIAL"]
    assert {one.notice["superevent_id"][:2] for one in harness.received()} == {"MS"}
    found = report(harness.ledger, harness.clock.now())["findings"]
    assert not [one for one in found if one["key"].startswith("mock data")]
    result = CliRunner().invoke(cli, ["mdc", "check", "--hours", "10000", "--state", str(harness.folder), "--json"])
    (one,) = json.loads(result.output)
    assert set(one["notices"]) == {"preliminary", "second-preliminary", "initial"}
    assert one["topics"]["gcn"] == ["INITIAL", "PRELIMINARY", "PRELIMINARY"]
    assert one["gracedb"] == ["PR", "PR", "IN"]
    assert (result.exit_code, one["missing"]) == (0, [])
    harness.settle(3600)
    found = list(harness.server.client.events("search: MDC"))
    assert sorted(event["group"] for event in found) == ["CBC", "CBC", "External"]
    (burst,) = (event for event in found if event["group"] == "External")
    assert "EM_COINC" in burst["labels"], "every other mock event has a burst beside it"


def test_a_mock_burst_is_beside_its_event_on_the_sky_of_today() -> None:
    gps = 1.45e9
    turned = mdc.mock_burst(0, gps)
    day = mdc.mock_burst(0, gps + 86164.0905)  # one sidereal day later, the same stars are overhead
    places = [re.findall(rb"<C[12]>(.*?)</C", notice) for notice in (turned, day)]
    assert [float(number) for number in places[0]] == pytest.approx([float(number) for number in places[1]], abs=0.01)
    notice = parse_notice("gcn.classic.voevent.FERMI_GBM_FIN_POS", turned)
    assert (notice.search, notice.observatory) == ("MDC", "Fermi")
    assert notice.time == pytest.approx(gps + mdc.AFTER_MERGER, abs=1e-3)


def test_a_missing_notice_and_a_missing_mock_event_are_critical(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.settle(1.0)
    found = {one["key"]: one for one in report(harness.ledger, harness.clock.now() + 5000)["findings"]}
    assert found["mock data"]["level"] == "CRITICAL"
    harness.settle(3605)  # and nobody uploads what would complete the event
    late = {one["key"]: one for one in report(harness.ledger, harness.clock.now() + 2000)["findings"]}
    (key,) = [name for name in late if name.startswith("mock data MS")]
    assert "lacks: second-preliminary, initial or retraction" in late[key]["text"]
    later = harness.clock.now() + 2000
    monkeypatch.setattr(time, "time", lambda: later)
    result = CliRunner().invoke(cli, ["mdc", "check", "--no-topic", "--no-gracedb", "--state", str(harness.folder)])
    assert result.exit_code == 2
    assert "MISSING: second-preliminary, initial or retraction" in result.output


def test_nothing_is_uploaded_unless_the_profile_says_so(harness: AlertHarness) -> None:
    harness.set_alerts(mode="mdc")
    assert "every.gwbatch.mdc.upload" not in harness.registry.topics()
    harness.set_alerts(mode="off", mdc_every=3600.0)
    assert "every.gwbatch.mdc.upload" not in harness.registry.topics()


def test_a_person_uploads_one(harness: AlertHarness) -> None:
    result = CliRunner().invoke(cli, ["mdc", "upload", "--event", "2", "--state", str(harness.folder), "--json"])
    graceid = json.loads(result.output)["graceid"]
    assert harness.server.client.event(graceid).json()["search"] == "MDC"


@pytest.mark.parametrize("number", range(len(mdc.EVENTS)))
def test_a_shifted_event_is_the_same_event_at_another_time(number: int) -> None:
    from gwbatch.sandbox.event_files import read_event_file

    before = read_event_file("gstlal", example_event(mdc.EVENTS[number]).read_bytes())
    after = read_event_file("gstlal", mdc.mock_event(number, 1.4e9))
    assert int(after["gpstime"]) == 1_400_000_000
    assert after["gpstime"] % 1 == pytest.approx(before["gpstime"] % 1, abs=1e-6)
    assert after["far"] == mdc.FAR
    for one, other in zip(
        before["extra_attributes"]["SingleInspiral"], after["extra_attributes"]["SingleInspiral"], strict=True
    ):
        moved = {"end_time", "impulse_time"}
        assert {key: value for key, value in one.items() if key not in moved} == {
            key: value for key, value in other.items() if key not in moved
        }


def test_shifting_there_and_back_changes_nothing() -> None:
    content = example_event("bns_hlv").read_bytes()
    assert mdc.shifted(mdc.shifted(content, 1.4e9), 1029975254.0) == content


def test_only_simulated_coincidences_are_shifted() -> None:
    with pytest.raises(BadInput, match="not one of the simulated"):
        mdc.shifted(b"<LIGO_LW/>", 1e9)


def test_bayestar_localizes_a_shifted_event(tmp_path: Path) -> None:
    """Trigger times and the epochs of the SNR series are shifted together."""
    from ligo.skymap.io import events

    path = tmp_path / "coinc.xml"
    path.write_bytes(mdc.mock_event(0, 1.4e9))
    (event,) = events.ligolw.open(str(path), psd_file=str(path), coinc_def=None).values()
    for single in event.singles:
        assert abs(single.snr_series.epoch - single.time) < 1.0
        assert abs(float(single.time) - 1.4e9) < 2.0
