"""What operators order about superevents and external events, by the command line, and what becomes of it."""

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
from tests.integration.alert_rig import FITS, REAL_DRAFT, AlertRig
from tests.integration.rig import FACTS
from tests.integration.test_linked_maps import Site
from tests.notices import fermi

PRELIMINARY, INITIAL = ("PRELIMINARY", True), ("INITIAL", True)


@pytest.fixture(name="rig")
def _rig(alerting: AlertRig) -> AlertRig:
    with alerting.ledger.transaction() as tx:
        in_force.record(tx, alerting.policy, alerting.profile, alerting.clock.now())
    return alerting


@pytest.fixture(name="site")
def _site() -> Iterator[Site]:
    running = Site()
    Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()


def gwbatch(rig: AlertRig, *words: str, code: int = 0, answer: str | None = None) -> Result:
    result = CliRunner().invoke(cli, [*words, "--state", str(rig.folder)], input=answer)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(rig: AlertRig, *words: str) -> Any:
    return json.loads(gwbatch(rig, *words, "--json").output)


def burst(rig: AlertRig, far: float = 1e-9) -> tuple[str, str]:
    """A superevent and an external event two seconds away; returns their IDs."""
    graceid = rig.upload(far=far)
    rig.settle(5)
    time = rig.server.client.event(graceid).json()["gpstime"]
    rig.notice(fermi(115, time=gps_to_utc(time + 2).isoformat().replace("+00:00", "")))
    rig.settle(20)
    (external,) = rig.externals()
    return rig.sid, str(external["graceid"])


def labels(rig: AlertRig, graceid: str) -> set[str]:
    return {one["name"] for one in rig.server.client.labels(graceid).json()["labels"]}


# ---- superevents -------------------------------------------------------------------------------------------


def test_the_event_of_a_pipeline_is_chosen_without_a_notice(rig: AlertRig) -> None:
    rig.upload("gstlal")
    other = rig.upload("pycbc")
    rig.settle(5)
    sent = rig.kinds()
    gwbatch(rig, "superevent", "prefer", rig.sid, other, "--pipeline", "--why", "longer template")
    rig.settle(2)
    assert rig.superevent()["pipeline_preferred_events"]["pycbc"]["graceid"] == other
    assert rig.superevent()["preferred_event"] != other
    assert rig.kinds() == sent
    assert any("(longer template)" in str(comment) for comment in rig.logs(rig.sid))
    gwbatch(rig, "superevent", "prefer", rig.sid, "G9999", "--pipeline", code=1)
    assert not rig.dead()


def test_a_map_that_is_copied_to_the_superevent_is_in_the_initial_notice(rig: AlertRig) -> None:
    graceid = rig.upload()
    better = FITS + b" " * 2880
    client = rig.server.client
    client.write_log(graceid, "better", filename="better.multiorder.fits", filecontents=better)
    rig.settle(5)
    rig.clock.advance(1)
    gwbatch(rig, "superevent", "copy-map", graceid, "better.multiorder.fits,0", rig.sid, "--why", "the other is wrong")
    rig.settle(5)
    assert client.files(rig.sid, "better.multiorder.fits").read() == better
    client.create_signoff(rig.sid, "ADV", "OK", "")
    rig.settle(5)
    assert rig.kinds() == [PRELIMINARY, INITIAL]
    assert rig.received()[-1].notice["urls"]["skymap"].endswith("better.multiorder.fits,0")
    gwbatch(rig, "superevent", "copy-map", graceid, "em_bright.json", rig.sid, code=1)


# ---- external events ---------------------------------------------------------------------------------------


def test_a_coincidence_is_announced_though_the_policy_would_not(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FACTS, "combine-skymaps", {"overlap_integral": 1e-3, "disjoint": False})
    sid, external = burst(rig, far=1e-4)
    (listed,) = as_json(rig, "external", "list")
    assert (listed["graceid"], listed["superevent"]) == (external, sid)
    assert "EM_COINC" in labels(rig, sid)
    assert "RAVEN_ALERT" not in labels(rig, sid)
    assert rig.kinds() == []
    gwbatch(rig, "external", "announce", external, code=1, answer="n\n")
    rig.settle(1)
    assert "RAVEN_ALERT" not in labels(rig, sid)
    gwbatch(rig, "external", "announce", external, "--yes", "--why", "Fermi is sure")
    rig.settle(20)
    for one in (sid, external, rig.superevent()["preferred_event"]):
        assert "RAVEN_ALERT" in labels(rig, one), one
    assert any("(Fermi is sure)" in str(comment) for comment in rig.logs(sid))
    assert rig.kinds() == [PRELIMINARY]
    assert rig.received()[0].notice["external_coinc"]["observatory"] == "Fermi"
    assert as_json(rig, "external", "show", external)["coincidences"][0]["announced"]
    gwbatch(rig, "external", "announce", external, "--yes", code=1)
    gwbatch(rig, "external", "announce", "E9999", "--yes", code=1)
    assert not rig.dead()


def test_a_map_from_an_address_counts_above_the_model(rig: AlertRig, site: Site) -> None:
    external = msgspec.structs.replace(rig.policy.external, map_sources=[site.url], map_wait=600.0)
    rig.policy = msgspec.structs.replace(rig.policy, external=external)
    rig.restart()
    _, graceid = burst(rig)
    site.pages["/ours.fits"] = (200, b"a map", {})
    gwbatch(rig, "external", "map", graceid, f"{site.url}ours.fits", "--why", "by e-mail")
    rig.settle(30)
    (row,) = rig.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert ".ordered-" in row["version"]
    (job,) = rig.ledger.read("SELECT directory FROM jobs WHERE kind = 'external-skymap' AND key LIKE '%.ordered-%'")
    assert (Path(job["directory"]) / "given.fits").read_bytes() == b"a map"
    assert any("(by e-mail)" in str(comment) for comment in rig.logs(graceid))
    gwbatch(rig, "external", "map", graceid, "ftp://example.org/x.fits", code=1)
    assert not rig.dead()


def test_an_order_about_nothing_is_kept_with_its_reason(rig: AlertRig) -> None:
    """What the command line would refuse, had it been asked in time."""
    orders = [
        Announce("S1", "E1"), UseMap("E1", "https://example.org/"), PreferForPipeline("S1", "G1"),
        CopyMap("G1", "coinc.xml", "S1"),
    ]  # fmt: skip
    with rig.ledger.transaction() as tx:
        for order in orders:
            messages.send_message(tx, order, rig.clock.now())
    rig.settle(2)
    assert len(rig.dead()) == 4
    reasons = {reason.partition(": ")[2] for reason in rig.dead()}
    assert {"There is no external event 'E1'.", "There is no superevent 'S1'."} <= reasons


# ---- circulars ---------------------------------------------------------------------------------------------


def test_circulars_are_drafted_on_demand_and_uploaded_nowhere(rig: AlertRig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, external = burst(rig)
    rig.settle(300)
    before = rig.files(rig.sid)
    monkeypatch.setattr(circulars, "draft", REAL_DRAFT)
    text = gwbatch(rig, "alerts", "circular", rig.sid).output
    assert rig.sid in text
    text = gwbatch(rig, "alerts", "circular", rig.sid, "--update", "sky_localization").output
    assert text.startswith("SUBJECT: LIGO/Virgo/KAGRA")
    assert "Updated Sky localization" in text.splitlines()[0]
    gwbatch(rig, "alerts", "circular", rig.sid, "--update", "taste", code=2)
    gwbatch(rig, "alerts", "circular", external, "--update", "raven", code=1)
    assert rig.files(rig.sid) == before
