"""Metrics, check, commands that step in, and who may look at the console."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from gwbatch.cli import cli
from gwbatch.config.profile import ConsoleSettings
from gwbatch.console.access import access_of
from gwbatch.console.app import make_app
from gwbatch.console.server import serve
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, jobs, leases, messages
from gwbatch.ledger.health import Level, Limits, findings
from gwbatch.ledger.messages import Incoming
from gwbatch.ledger.report import report
from gwbatch.metrics.collect import exposition
from gwbatch.metrics.grafana import dashboard
from gwbatch.metrics.schema import METRICS
from gwbatch.model import JobReport, JobState
from gwbatch.schedulers.simulated import WELL, Step
from tests.integration.rig import Rig
from tests.integration.test_console import free_port

ROOT = Path(__file__).parents[2]


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


# ---- metrics ----------------------------------------------------------------------------------------------


def test_every_metric_of_the_schema_is_there_after_an_event(rig: Rig) -> None:
    rig.upload()
    rig.settle()
    found = samples(exposition(rig.ledger, time.time()))
    for metric in METRICS:
        name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        if not metric.name.startswith("gwbatch_listener"):  # the rig has none
            assert name in found, name
    assert found["gwbatch_jobs"][("DONE",)] == 6
    assert found["gwbatch_superevents_total"][()] == 1
    assert found["gwbatch_stage_seconds_count"][("received to decided: superevent",)] > 0
    assert found["gwbatch_stage_seconds_count"][("job localize: running",)] == 1
    whole = found["gwbatch_whole_node_seconds_total"]
    assert whole[("idle",)] + whole[("computing",)] == 2.0  # the localization and the volume plot, 1 s each


def test_latencies_stay_counted_when_their_rows_go(rig: Rig) -> None:
    rig.upload()
    rig.settle()
    before = samples(exposition(rig.ledger, time.time()))["gwbatch_stage_seconds_count"]
    with rig.ledger.transaction() as tx:
        messages.prune(tx, rig.clock.now() + 1)
    assert samples(exposition(rig.ledger, time.time()))["gwbatch_stage_seconds_count"] == before


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
    for metric in METRICS:
        assert metric.name in committed


# ---- check ------------------------------------------------------------------------------------------------


def wrong(ledger: Ledger, **limits: Any) -> dict[str, Level]:
    return {one.key: one.level for one in findings(ledger, report(ledger, time.time()), Limits(**limits))}


def test_check_without_a_ledger_is_unknown(tmp_path: Path) -> None:
    done = gwbatch("check", "--state", str(tmp_path))
    assert done.exit_code == 3
    assert done.output.startswith("GWBATCH UNKNOWN: There is no ledger")


def test_all_well(ledger: Ledger) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", time.time())
    done = gwbatch("check", "--state", str(ledger.path.parent), "--disk-free", "0.001", "0.0001")
    assert (done.exit_code, done.output.splitlines()[0].partition(" | ")[0]) == (0, "GWBATCH OK: all well")


def test_the_worst_comes_first_and_decides_the_exit_code(ledger: Ledger) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        messages.receive(
            tx, Incoming("igwn-alert", "x", 0, 1, b"", None), ["general"], time.time(), refused="bad | x\ny"
        )
    done = gwbatch("check", "--state", str(ledger.path.parent))
    first, second, *_ = done.output.splitlines()
    assert done.exit_code == 2
    assert first.startswith("GWBATCH CRITICAL: no dispatcher is running (and 1 more) | superevent_depth=0")
    assert second.startswith("WARNING: 1 dead letters")
    assert "|" not in second
    as_json = json.loads(gwbatch("check", "--state", str(ledger.path.parent), "--json").output)
    assert [one["level"] for one in as_json["findings"]] == ["CRITICAL", "WARNING"]


def test_what_check_looks_at(ledger: Ledger) -> None:
    now = time.time()
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", now)
        messages.receive(tx, Incoming("igwn-alert", "x", 0, 1, b"", now + 60), ["superevent"], now - 100)
        for key, state in (("G1/a", JobState.HELD), ("G2/a", JobState.UNKNOWN), ("G3/a", JobState.FAILED)):
            jobs.plan(tx, key, "a", "general", key, {}, 0, now)
            job = jobs.get(tx, key)
            assert job is not None
            jobs.report(tx, job, JobReport(f"{key}/1", state, reason="why"), None, now)
        tx.execute(
            "INSERT INTO heartbeats (name, pid, started, last_poll, connected) VALUES ('gcn', 1, 0, ?, 1)", (now,)
        )
        tx.execute("INSERT INTO offsets VALUES ('gcn', 't', 0, 0, 5, 500, 3, ?)", (now,))
    found = wrong(ledger, silence=10.0, disk_free=(1e30, 1.0))
    assert found == {
        "lane superevent": Level.CRITICAL, "clock": Level.CRITICAL, "scheduler": Level.CRITICAL,
        "listener gcn gap": Level.WARNING, "listener gcn lag": Level.WARNING, "listener gcn silent": Level.WARNING,
        "job G1/a": Level.WARNING, "failed jobs": Level.WARNING, "disk": Level.WARNING,
    }  # fmt: skip


# ---- stepping in ------------------------------------------------------------------------------------------


def first_goes(rig: Rig, key: str, state: JobState, reason: str) -> None:
    """What becomes of one attempt; all others run well."""
    rig.scheduler.script = lambda request: (Step(0, state, reason),) if request.key == key else WELL


def test_somebody_prefers_another_event(rig: Rig) -> None:
    first, second = rig.upload("gstlal", far=1e-9), rig.upload("pycbc", far=1e-8)
    rig.settle()
    (superevent,) = rig.superevents()
    other = second if superevent["preferred_event"] == first else first
    done = gwbatch("superevent", "prefer", superevent["superevent_id"], other, "--state", str(rig.folder))
    assert done.exit_code == 0, done.output
    rig.settle()
    (superevent,) = rig.superevents()
    assert superevent["preferred_event"] == other
    shown = json.loads(gwbatch("superevent", "show", "S@G0001", "--state", str(rig.folder), "--json").output)
    assert any("ordered by" in entry["text"] for entry in shown["timeline"])
    assert {member["graceid"] for member in shown["members"]} == {first, second}
    refused = gwbatch("superevent", "prefer", "S@G0001", "G9", "--state", str(rig.folder))
    assert isinstance(refused.exception, ConfigError)


def test_a_failed_job_is_tried_again_by_order(rig: Rig) -> None:
    first_goes(rig, "G0001/localize/1", JobState.FAILED, "the node caught fire")
    rig.with_annotation(max_attempts=1)
    rig.upload()
    rig.settle()
    assert rig.states("jobs") == {"G0001/localize": "FAILED"}
    done = gwbatch("jobs", "retry", "G0001/localize", "--state", str(rig.folder))
    assert done.exit_code == 0, done.output
    rig.settle()
    assert rig.states("jobs")["G0001/localize"] == "DONE"
    assert isinstance(gwbatch("jobs", "retry", "G0001/localize", "--state", str(rig.folder)).exception, ConfigError)


def test_annotate_tries_again_what_failed(rig: Rig) -> None:
    first_goes(rig, "S@G0001/plot-allsky/G0001.0/1", JobState.FAILED, "the node caught fire")
    rig.with_annotation(max_attempts=1)
    rig.upload()
    rig.settle()
    (superevent,) = rig.superevents()
    assert gwbatch("superevent", "annotate", "S@G0001", "--state", str(rig.folder)).exit_code == 0
    rig.settle()
    assert set(rig.states("jobs").values()) == {"DONE"}
    assert "bayestar.png,0" in rig.files(superevent["superevent_id"])


def test_a_job_is_cancelled_and_a_held_one_released(rig: Rig) -> None:
    first_goes(rig, "G0001/localize/1", JobState.HELD, "somebody held it")
    rig.upload()
    rig.settle(5)
    assert rig.states("jobs") == {"G0001/localize": "HELD"}
    assert gwbatch("jobs", "release", "G0001/localize", "--state", str(rig.folder)).exit_code == 0
    rig.settle(2)
    assert rig.ledger.read("SELECT releases FROM jobs")[0][0] == 1
    assert gwbatch("jobs", "cancel", "G0001/localize", "--state", str(rig.folder)).exit_code == 0
    rig.settle(5)
    assert rig.states("jobs") == {"G0001/localize": "CANCELLED"}
    assert rig.dead() == []
    shown = json.loads(gwbatch("jobs", "show", "G0001/localize", "--state", str(rig.folder), "--json").output)
    assert shown["reason"] == "cancelled by hand"


def test_a_cancelled_job_does_not_come_alive_again(ledger: Ledger) -> None:
    """Neither by a submission that was under way, nor by what the watcher saw before."""
    with ledger.transaction() as tx:
        jobs.plan(tx, "G1/a", "a", "general", "G1", {}, 0, 1.0)
        job = jobs.get(tx, "G1/a")
        assert job is not None
        assert jobs.report(tx, job, JobReport("G1/a/1", JobState.CANCELLED), None, 1.0)
        jobs.submitted(tx, job, "local", "1", "/nowhere", 1.0)
        assert not jobs.report(tx, job, JobReport("G1/a/1", JobState.RUNNING), None, 1.0)
        found = jobs.get(tx, "G1/a")
    assert found is not None
    assert found.state is JobState.CANCELLED


# ---- who may look -----------------------------------------------------------------------------------------


def token_file(tmp_path: Path, text: str = "correct horse battery", mode: int = 0o600) -> str:
    path = tmp_path / "token"
    path.write_text(text + "\n")
    path.chmod(mode)
    return str(path)


def client(tmp_path: Path, host: str = "10.0.0.5", **settings: Any) -> TestClient:
    app = make_app(tmp_path / "ledger.sqlite", access_of(ConsoleSettings(**settings)))
    return TestClient(app, "http://127.0.0.1", client=(host, 1234), follow_redirects=False)


def test_with_a_token_nobody_else_gets_in(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    for path in ("/", "/status.json", "/metrics", "/superevents.json", "/static/console.js", "/events"):
        assert visitor.get(path).status_code == 401, path
    assert visitor.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert visitor.get("/metrics", headers={"Authorization": "Bearer correct horse battery"}).status_code == 200
    assert visitor.post("/enter", data={"token": "wrong"}).status_code == 401
    entered = visitor.post("/enter", data={"token": "correct horse battery"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "correct horse" not in entered.headers["set-cookie"]
    assert visitor.get("/").status_code == 200


def test_the_host_header_opens_nothing(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    for host in ("x/static/console.css?", "x/static/console.css#", "localhost", "127.0.0.1"):
        assert visitor.get("/status.json", headers={"Host": host}).status_code in (400, 401), host


def test_without_a_rule_only_this_machines_own_names_are_answered(tmp_path: Path) -> None:
    """A page of somebody else, whose name leads to 127.0.0.1, must not read what its visitor may see."""
    visitor = client(tmp_path)
    assert visitor.get("/", headers={"Host": "evil.example.org:8765"}).status_code == 421
    for host in ("localhost:8765", "127.0.0.1:8765", "[::1]:8765"):
        assert visitor.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/superevents.json?before=99999999999999999999", "/superevents.json?before=²", "/jobs.json?limit=²",
     "/deadletter.json?id=m²", "/deadletter.json?id=m99999999999999999999", "/job.json?key=%00", "/superevent.json"],
)  # fmt: skip
def test_odd_questions_get_an_answer(ledger: Ledger, path: str) -> None:
    assert ledger.path is not None
    app = make_app(ledger.path, access_of(ConsoleSettings()))
    assert TestClient(app, "http://127.0.0.1").get(path).status_code in (200, 404)


def test_a_large_form_is_refused(tmp_path: Path) -> None:
    visitor = client(tmp_path, token_file=token_file(tmp_path))
    assert visitor.post("/enter", data={"token": "x" * 10_000}).status_code == 413


@pytest.mark.parametrize(
    ("host", "user", "status"), [("127.0.0.1", "ada", 200), ("127.0.0.1", "", 403), ("10.0.0.5", "ada", 403)]
)
def test_the_proxys_word_counts_from_the_proxy_alone(tmp_path: Path, host: str, user: str, status: int) -> None:
    visitor = client(tmp_path, host, user_header="X-Remote-User")
    assert visitor.get("/", headers={"X-Remote-User": user}).status_code == status


@pytest.mark.parametrize(
    ("text", "mode", "reason"), [("short", 0o600, "too short"), ("long enough, surely", 0o644, "chmod 600")]
)
def test_a_token_that_protects_nothing_is_refused(tmp_path: Path, text: str, mode: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        access_of(ConsoleSettings(token_file=token_file(tmp_path, text, mode)))


def test_others_are_let_near_only_with_a_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="loopback only"):
        serve("0.0.0.0", 1, tmp_path / "ledger.sqlite", ConsoleSettings())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_console_only_reads(tmp_path: Path, method: str) -> None:
    visitor = client(tmp_path)
    for path in ("/", "/status.json", "/jobs.json", "/superevent.json"):
        assert visitor.request(method, path).status_code == 405


# ---- a large ledger ---------------------------------------------------------------------------------------


def test_nothing_that_is_asked_often_reads_a_whole_table(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million messages must not be looked through: every query has its index, or stops early."""
    from gwbatch.ledger import views

    asked: list[tuple[str, Any]] = []
    real = Ledger.read

    def read(self: Ledger, sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return real(self, sql, parameters)

    monkeypatch.setattr(Ledger, "read", read)
    report(rig.ledger, time.time())
    exposition(rig.ledger, time.time())
    views.superevents(rig.ledger)
    views.jobs(rig.ledger)
    views.messages(rig.ledger)
    findings(rig.ledger, report(rig.ledger, time.time()), Limits())
    large = {"messages", "m", "deliveries", "d", "effects", "e", "jobs", "superevents", "s", "events", "decisions"}
    for sql, parameters in asked:
        for row in rig.ledger.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
            words = row["detail"].split()
            if words[0] == "SCAN" and words[1] in large and "USING" not in words:
                assert "LIMIT" in sql or "max(id)" in sql, (sql, row["detail"])
            assert "TEMP B-TREE FOR ORDER BY" not in row["detail"] or words[1] not in large, (sql, row["detail"])


def test_a_ledger_of_an_earlier_version_is_refused_in_words(ledger: Ledger) -> None:
    assert ledger.path is not None
    ledger.connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0005_views'")
    done = gwbatch("status", "--state", str(ledger.path.parent))
    assert isinstance(done.exception, ConfigError)
    assert "earlier version" in str(done.exception)


def test_the_console_serves_metrics(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gwbatch", "console", "--port", str(port), "--state", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    assert answer.headers["content-type"].startswith("text/plain")
                    assert samples(answer.read()) == {"gwbatch_dispatcher_up": {(): 0.0}}
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the console never answered")
    finally:
        process.terminate()
        process.wait(20)
