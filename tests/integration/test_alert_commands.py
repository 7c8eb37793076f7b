"""``gwbatch alerts``: listing, previewing, ordering, stopping, releasing and comparing notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from gwbatch import circulars
from gwbatch.cli import cli
from gwbatch.executors.notices.producer import forget_publishers
from gwbatch.ledger import in_force
from gwbatch.metrics.exposition import exposition
from tests.integration.alert_harness import AlertHarness, draft_quickly
from tests.integration.brokers import BrokerProcess
from tests.integration.harness import Server
from tests.integration.test_metrics import samples

PRELIMINARY, UPDATE = ("PRELIMINARY", True), ("UPDATE", True)


@pytest.fixture(name="harness")
def _harness(
    tmp_path: Path, server: Server, brokers: dict[str, BrokerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AlertHarness]:
    monkeypatch.setattr(circulars, "draft", draft_quickly)
    made = AlertHarness(tmp_path / "state", server, brokers)
    record(made)
    made.upload()
    made.settle(3)
    yield made
    made.ledger.close()
    forget_publishers()


def record(harness: AlertHarness) -> None:
    with harness.ledger.transaction() as tx:
        in_force.record(tx, harness.policy, harness.profile, harness.clock.now())


def alerts(harness: AlertHarness, *words: str, code: int = 0, answer: str | None = None) -> Result:
    result = CliRunner().invoke(cli, ["alerts", *words, "--state", str(harness.folder)], input=answer)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def as_json(harness: AlertHarness, *words: str, code: int = 0) -> Any:
    return json.loads(alerts(harness, *words, "--json", code=code).output)


def test_list_and_show_tell_where_a_notice_is_and_where_its_time_went(harness: AlertHarness) -> None:
    (one,) = as_json(harness, "list")
    assert (one["name"], one["state"]) == ("preliminary", "stored")
    assert {send["state"] for send in one["brokers"]} == {"delivered"}
    shown = as_json(harness, "show", f"{harness.sid}/preliminary")
    assert shown["record"]["event"]["skymap"] > 1000
    names = [part["name"] for part in shown["parts"]]
    assert {"freeze", "broker gcn", "broker scimma", "BAYESTAR", "store in GraceDB"} <= set(names)
    assert "upload to decision" in names or shown["parts"]
    text = alerts(harness, "show", "1").output
    assert f"{harness.sid}/preliminary" in text
    assert "partition" in text
    body = json.loads(alerts(harness, "show", "1", "--body").output)
    assert body["event"]["skymap"].startswith("U0lNUExF")


def test_a_preview_shows_what_would_go_out_and_sends_nothing(harness: AlertHarness) -> None:
    found = as_json(harness, "preview", harness.sid, "--kind", "update")
    assert found["record"]["alert_type"] == "UPDATE"
    assert found["refused"] is None
    assert set(found["brokers"]) == {"gcn", "scimma"}
    assert harness.kinds() == [PRELIMINARY]
    harness.server.client.write_label(harness.sid, "DQV")
    harness.settle(1)
    assert as_json(harness, "preview", harness.sid)["refused"] == "blocked by the label DQV"
    assert "It would NOT go out" in alerts(harness, "preview", harness.sid).output


def test_an_update_holds_the_files_that_somebody_chose(harness: AlertHarness) -> None:
    from tests.integration.alert_harness import FITS

    better = FITS + b"\0" * 2880
    harness.server.client.write_log(
        harness.sid, "samples", filename="Bilby.multiorder.fits", filecontents=better, tag_name=["sky_loc", "public"]
    )
    harness.settle(1)
    alerts(harness, "update", harness.sid, "--map", "Bilby.multiorder.fits", "--yes", code=1)  # no version
    chosen = ("--map", "Bilby.multiorder.fits,0", "--why", "samples are there")
    alerts(harness, "update", harness.sid, *chosen, answer="n\n", code=1)
    assert harness.kinds() == [PRELIMINARY]
    alerts(harness, "update", harness.sid, *chosen, "--yes")
    harness.settle(3)
    assert harness.kinds() == [PRELIMINARY, UPDATE]
    last = harness.received("scimma")[-1].notice
    assert last["event"]["skymap"] == better
    assert last["urls"]["skymap"].endswith("Bilby.multiorder.fits,0")
    assert any("ordered the update notice (samples are there)" in str(comment) for comment in harness.logs(harness.sid))


def test_an_initial_notice_takes_the_newest_public_map(harness: AlertHarness) -> None:
    from tests.integration.alert_harness import FITS

    better = FITS + b"\0" * 2880
    for name, tags in (("hidden.multiorder.fits", ["sky_loc"]), ("Bilby.multiorder.fits", ["sky_loc", "public"])):
        harness.server.client.write_log(harness.sid, "map", filename=name, filecontents=better, tag_name=tags)
    classes = {"BNS": 0.5, "NSBH": 0.5, "BBH": 0.0}
    harness.server.client.write_log(
        harness.sid, "x", filename="RapidPE_RIFT.p_astro.json", filecontents=json.dumps(classes),
        tag_name=["p_astro", "public"],
    )  # fmt: skip
    harness.settle(1)
    harness.server.client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.settle(3)
    last = harness.received("scimma")[-1].notice
    assert last["alert_type"] == "INITIAL"
    assert last["event"]["skymap"] == better
    found = last["event"]["classification"]
    assert found == pytest.approx({"BNS": 0.495, "NSBH": 0.495, "BBH": 0.0, "Terrestrial": 0.01})


def test_an_ordered_preliminary_is_about_the_event_that_somebody_chose(harness: AlertHarness) -> None:
    other = harness.upload("pycbc", far=2e-9)
    harness.settle(3)
    alerts(harness, "send", harness.sid, "--event", other, "--why", "better data", "--yes")
    harness.settle(3)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]
    assert harness.received()[-1].notice["event"]["pipeline"] == "pycbc"
    assert any(
        str(comment).endswith(f"queued a preferred event change to {other}.") for comment in harness.logs(harness.sid)
    )


def test_stop_enable_and_release(harness: AlertHarness) -> None:
    alerts(harness, "stop", "--why", "a drill")
    assert "ALERTS ARE STOPPED" in alerts(harness, "list").output
    found = CliRunner().invoke(cli, ["check", "--state", str(harness.folder)])
    assert found.exit_code == 2
    assert "alerts are stopped (by" in found.output
    alerts(harness, "send", harness.sid, "--yes")
    harness.settle(3)
    assert harness.kinds() == [PRELIMINARY]
    text = alerts(harness, "enable", answer="y\n").output
    assert "stays withheld" in text
    harness.settle(3)
    assert harness.kinds() == [PRELIMINARY]
    alerts(harness, "release", f"{harness.sid}/ordered-preliminary", "--why", "it was a drill")
    harness.settle(3)
    assert harness.kinds() == [PRELIMINARY, PRELIMINARY]
    alerts(harness, "release", f"{harness.sid}/ordered-preliminary", code=1)


def test_a_dry_run_is_compared_with_what_another_system_published(harness: AlertHarness) -> None:
    assert [one["verdict"] for one in as_json(harness, "compare")] == ["same"]
    with harness.ledger.transaction() as tx:
        row = tx.execute("SELECT record FROM public_notices").fetchone()
        changed = {**json.loads(row["record"])}
        changed["event"] = {**changed["event"], "far": 2e-9, "pipeline": "pycbc"}
        tx.execute("UPDATE public_notices SET record = ?", (json.dumps(changed),))
    (one,) = as_json(harness, "compare", code=1)
    assert one["differences"] == {"event.far": [2e-9, 1e-9], "event.pipeline": ["pycbc", "gstlal"]}
    assert (
        "event.far: ours 2e-09, on the topic 1e-09" in alerts(harness, "compare", "--broker", "scimma", code=1).output
    )


def test_commands_say_what_is_wrong(harness: AlertHarness) -> None:
    for words, said in (
        (["show", "S000000x/preliminary"], "There is no notice"),
        (["preview", "S000000x"], "There is no superevent"),
        (["preview", harness.sid, "--kind", "nonsense"], "There is no alert kind"),
        (["compare", "--broker", "nobody"], "has no broker nobody"),
        (["update", harness.sid, "--map", "x.fits", "--yes"], "Write NAME,VERSION"),
    ):
        result = CliRunner().invoke(cli, ["alerts", *words, "--state", str(harness.folder)])
        assert result.exit_code == 1
        assert said in str(result.exception), words
    harness.profile = msgspec.structs.replace(harness.profile, alerts=type(harness.profile.alerts)())
    record(harness)
    result = CliRunner().invoke(cli, ["alerts", "enable", "--state", str(harness.folder)])
    assert "they are off in the dispatcher's site profile" in str(result.exception)


def test_status_and_check_know_of_every_notice_that_has_not_arrived(
    harness: AlertHarness, brokers: dict[str, BrokerProcess]
) -> None:
    from gwbatch.reports.status import report

    brokers["scimma"].do(b"!down")
    try:
        harness.server.client.create_signoff(harness.sid, "ADV", "NO", "")
        harness.settle(3)
        found = report(harness.ledger, harness.clock.now() + 100)
        (late,) = [one for one in found["findings"] if one["key"].startswith("alert ")]
        assert late["level"] == "CRITICAL"
        assert "retraction has not reached the broker scimma" in late["text"]
        assert [one["name"] for one in found["alerts"]["notices"]] == ["retraction", "preliminary"]
        counted = samples(exposition(harness.ledger, harness.clock.now()))
        assert counted["gwbatch_notices_undelivered"] == {("gcn",): 0, ("scimma",): 1}
    finally:
        brokers["scimma"].do(b"!up")
