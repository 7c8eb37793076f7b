"""Metrics of the schema: all exported, still counted when their rows are pruned, and shown on the dashboard."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from gwbatch.cli import cli
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, messages, standby
from gwbatch.metrics.declaring import METRICS, metric
from gwbatch.metrics.exposition import exposition
from gwbatch.metrics.grafana import dashboard
from tests.declared import undone
from tests.integration.consoles import get, running_console
from tests.integration.harness import Harness

ROOT = Path(__file__).parents[2]


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_every_metric_of_the_schema_is_there_after_an_event(harness: Harness) -> None:
    harness.upload()
    harness.settle()
    with harness.ledger.transaction() as tx:
        standby.note_wanted(tx, "openmp", 2, "the policy always wants them", time.time())
        standby.heartbeat(tx, standby.request_pilot(tx, "openmp", "/jobs", time.time()), time.time(), 60.0, 7.0, 1)
    found = samples(exposition(harness.ledger, time.time()))
    for one in METRICS.values():
        name = f"{one.name}_count" if one.kind == "histogram" else one.name
        if not one.name.startswith(("gwbatch_listener", "gwbatch_notices_undelivered")):  # the harness has none of them
            assert name in found, name
    assert found["gwbatch_jobs"][("DONE",)] == 9
    assert found["gwbatch_pilots"] == {("openmp", "wanted"): 2.0, ("openmp", "ready"): 1.0}
    assert found["gwbatch_pilot_seconds_total"] == {("openmp", "busy"): 7.0, ("openmp", "idle"): 60.0}
    assert found["gwbatch_superevents_total"][()] == 1
    assert found["gwbatch_stage_seconds_count"][("received to decided: superevent",)] > 0
    assert found["gwbatch_stage_seconds_count"][("job localize: running",)] == 1
    whole = found["gwbatch_whole_node_seconds_total"]
    assert whole[("idle",)] + whole[("computing",)] == 1.0  # the localization, 1 s


def test_latencies_stay_counted_when_their_rows_go(harness: Harness) -> None:
    harness.upload()
    harness.settle()
    before = samples(exposition(harness.ledger, time.time()))["gwbatch_stage_seconds_count"]
    with harness.ledger.transaction() as tx:
        messages.prune(tx, harness.clock.now() + 1)
    assert samples(exposition(harness.ledger, time.time()))["gwbatch_stage_seconds_count"] == before


def test_histograms_are_cumulative(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        for value in (0.001, 0.3, 0.3, 7.0, 1e6):
            tx.execute("INSERT INTO observed VALUES ('x', ?)", (value,))
    found = samples(exposition(ledger, time.time()))
    buckets = {labels[0]: value for labels, value in found["gwbatch_stage_seconds_bucket"].items()}
    assert (buckets["0.005"], buckets["0.25"], buckets["0.5"], buckets["10"], buckets["+Inf"]) == (1, 1, 3, 4, 5)
    assert found["gwbatch_stage_seconds_sum"][("x",)] == pytest.approx(1e6 + 7.601)


def test_without_a_ledger_there_is_no_dispatcher(tmp_path: Path) -> None:
    done = gwbatch("metrics", "--state", str(tmp_path))
    assert samples(done.output.encode()) == {"gwbatch_dispatcher_up": {(): 0.0}}


def test_a_textfile_is_written_whole(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.path is not None
    done = gwbatch("metrics", "--state", str(ledger.path.parent), "--textfile", str(tmp_path / "gwbatch.prom"))
    assert done.exit_code == 0, done.output
    assert "gwbatch_lane_depth" in samples((tmp_path / "gwbatch.prom").read_bytes())
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["gwbatch.prom"]


def test_the_dashboard_is_current_and_shows_every_metric() -> None:
    committed = (ROOT / "docs/examples/grafana.json").read_text()
    assert json.loads(committed) == json.loads(dashboard()), "gwbatch metrics --grafana > docs/examples/grafana.json"
    for one in METRICS.values():
        assert one.name in committed


def test_the_console_serves_them(tmp_path: Path) -> None:
    with running_console(tmp_path) as address:
        status, headers, body = get(f"{address}/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert samples(body) == {"gwbatch_dispatcher_up": {(): 0.0}}


def test_a_plug_in_adds_a_metric_in_one_place_and_a_broken_one_takes_no_other_with_it(
    harness: Harness,
) -> None:
    with undone():
        metric("site_superevents", "gauge", "Superevents of this site.", row="Site")(lambda look: 3.0)
        metric("site_broken", "gauge", "Never comes.", row="Site")(lambda look: look.report["nonsense"])
        found = samples(exposition(harness.ledger, time.time()))
        assert found["site_superevents"] == {(): 3.0}
        assert "site_broken" not in found
        assert "gwbatch_dispatcher_up" in found
        assert "site_superevents" in dashboard()
        with pytest.raises(ConfigError, match="gwbatch_jobs: another metric has this name"):
            metric("gwbatch_jobs", "gauge", "Another.", row="Site")(lambda look: 0.0)
