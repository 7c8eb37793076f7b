"""Operators' orders about superevents and external events: the commands and their effects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from gwbatch import circulars
from gwbatch.cli import cli
from gwbatch.gpstime import gps_to_utc
from gwbatch.handlers.messages import Announce, CopyMap, PreferForPipeline, UseMap
from gwbatch.ledger import in_force, messages
from tests.integration.alert_harness import FITS, REAL_DRAFT, AlertHarness
from tests.integration.harness import FACTS
from tests.integration.test_linked_maps import Site
from tests.notices import fermi

PRELIMINARY, INITIAL = ("PRELIMINARY", True), ("INITIAL", True)


@pytest.fixture(name="harness")
def _harness(alerting: AlertHarness) -> AlertHarness:
    with alerting.ledger.transaction() as tx:
        in_force.record(tx, alerting.policy, alerting.profile, alerting.clock.now())
    return alerting


@pytest.fixture(name="site")
def _site() -> Iterator[Site]:
    running = Site()
    Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


def gwbatch(harness: AlertHarness, *words: str, code: int = 0, answer: str | None = None) -> Result:
    result = CliRunner().invoke(cli, [*words, "--state", str(harness.folder)], input=answer)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(harness: AlertHarness, *words: str) -> Any:
    return json.loads(gwbatch(harness, *words, "--json").output)


def burst(harness: AlertHarness, far: float = 1e-9) -> tuple[str, str]:
    """Create a superevent and an external event two seconds later; return their IDs."""
    graceid = harness.upload(far=far)
    harness.settle(5)
    time = harness.server.client.event(graceid).json()["gpstime"]
    harness.notice(fermi(115, time=gps_to_utc(time + 2).isoformat().replace("+00:00", "")))
    harness.settle(20)
    (external,) = harness.externals()
    return harness.sid, str(external["graceid"])


def labels(harness: AlertHarness, graceid: str) -> set[str]:
    return {one["name"] for one in harness.server.client.labels(graceid).json()["labels"]}


# ---- superevents -------------------------------------------------------------------------------------------


def test_the_event_of_a_pipeline_is_chosen_without_a_notice(harness: AlertHarness) -> None:
    harness.upload("gstlal")
    other = harness.upload("pycbc")
    harness.settle(5)
    sent = harness.kinds()
    gwbatch(harness, "superevent", "prefer", harness.sid, other, "--pipeline", "--why", "longer template")
    harness.settle(2)
    assert harness.superevent()["pipeline_preferred_events"]["pycbc"]["graceid"] == other
    assert harness.superevent()["preferred_event"] != other
    assert harness.kinds() == sent
    assert any("(longer template)" in str(comment) for comment in harness.logs(harness.sid))
    gwbatch(harness, "superevent", "prefer", harness.sid, "G9999", "--pipeline", code=1)
    assert not harness.dead()


def test_a_map_that_is_copied_to_the_superevent_is_in_the_initial_notice(harness: AlertHarness) -> None:
    graceid = harness.upload()
    better = FITS + b" " * 2880
    client = harness.server.client
    client.write_log(graceid, "better", filename="better.multiorder.fits", filecontents=better)
    harness.settle(5)
    harness.clock.advance(1)
    gwbatch(
        harness,
        "superevent",
        "copy-map",
        graceid,
        "better.multiorder.fits,0",
        harness.sid,
        "--why",
        "the other is wrong",
    )
    harness.settle(5)
    assert client.files(harness.sid, "better.multiorder.fits").read() == better
    client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.settle(5)
    assert harness.kinds() == [PRELIMINARY, INITIAL]
    assert harness.received()[-1].notice["urls"]["skymap"].endswith("better.multiorder.fits,0")
    gwbatch(harness, "superevent", "copy-map", graceid, "em_bright.json", harness.sid, code=1)


# ---- external events ---------------------------------------------------------------------------------------


def test_a_coincidence_is_announced_though_the_policy_would_not(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FACTS, "combine-skymaps", {"overlap_integral": 1e-3, "disjoint": False})
    sid, external = burst(harness, far=1e-4)
    (listed,) = as_json(harness, "external", "list")
    assert (listed["graceid"], listed["superevent"]) == (external, sid)
    assert "EM_COINC" in labels(harness, sid)
    assert "RAVEN_ALERT" not in labels(harness, sid)
    assert harness.kinds() == []
    gwbatch(harness, "external", "announce", external, code=1, answer="n\n")
    harness.settle(1)
    assert "RAVEN_ALERT" not in labels(harness, sid)
    gwbatch(harness, "external", "announce", external, "--yes", "--why", "Fermi is sure")
    harness.settle(20)
    for one in (sid, external, harness.superevent()["preferred_event"]):
        assert "RAVEN_ALERT" in labels(harness, one), one
    assert any("(Fermi is sure)" in str(comment) for comment in harness.logs(sid))
    assert harness.kinds() == [PRELIMINARY]
    assert harness.received()[0].notice["external_coinc"]["observatory"] == "Fermi"
    assert as_json(harness, "external", "show", external)["coincidences"][0]["announced"]
    gwbatch(harness, "external", "announce", external, "--yes", code=1)
    gwbatch(harness, "external", "announce", "E9999", "--yes", code=1)
    assert not harness.dead()


def test_a_map_from_an_address_counts_above_the_model(harness: AlertHarness, site: Site) -> None:
    external = msgspec.structs.replace(harness.policy.external, map_sources=[site.url], map_wait=600.0)
    harness.policy = msgspec.structs.replace(harness.policy, external=external)
    harness.restart()
    _, graceid = burst(harness)
    site.pages["/ours.fits"] = (200, b"a map", {})
    gwbatch(harness, "external", "map", graceid, f"{site.url}ours.fits", "--why", "by e-mail")
    harness.settle(30)
    (row,) = harness.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert ".ordered-" in row["version"]
    (job,) = harness.ledger.read("SELECT directory FROM jobs WHERE kind = 'external-skymap' AND key LIKE '%.ordered-%'")
    assert (Path(job["directory"]) / "given.fits").read_bytes() == b"a map"
    assert any("(by e-mail)" in str(comment) for comment in harness.logs(graceid))
    gwbatch(harness, "external", "map", graceid, "ftp://example.org/x.fits", code=1)
    assert not harness.dead()


def test_an_order_about_nothing_is_kept_with_its_reason(harness: AlertHarness) -> None:
    """These orders bypass the command line, which would refuse them."""
    orders = [
        Announce("S1", "E1"), UseMap("E1", "https://example.org/"), PreferForPipeline("S1", "G1"),
        CopyMap("G1", "coinc.xml", "S1"),
    ]  # fmt: skip
    with harness.ledger.transaction() as tx:
        for order in orders:
            messages.send_message(tx, order, harness.clock.now())
    harness.settle(2)
    assert len(harness.dead()) == 4
    reasons = {reason.partition(": ")[2] for reason in harness.dead()}
    assert {"There is no external event 'E1'.", "There is no superevent 'S1'."} <= reasons


# ---- circulars ---------------------------------------------------------------------------------------------


def test_circulars_are_drafted_on_demand_and_uploaded_nowhere(
    harness: AlertHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, external = burst(harness)
    harness.settle(300)
    before = harness.files(harness.sid)
    monkeypatch.setattr(circulars, "draft", REAL_DRAFT)
    text = gwbatch(harness, "alerts", "circular", harness.sid).output
    assert harness.sid in text
    text = gwbatch(harness, "alerts", "circular", harness.sid, "--update", "sky_localization").output
    assert text.startswith("SUBJECT: LIGO/Virgo/KAGRA")
    assert "Updated Sky localization" in text.splitlines()[0]
    gwbatch(harness, "alerts", "circular", harness.sid, "--update", "taste", code=2)
    gwbatch(harness, "alerts", "circular", external, "--update", "raven", code=1)
    assert harness.files(harness.sid) == before
