"""Tests on a real HTCondor pool: what the fast tests only simulate, and what needs real daemons."""

from __future__ import annotations

import json
import os
import shutil
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from gwbatch.config.resources import example_event
from gwbatch.ledger import Ledger
from gwbatch.model import JobState, Remedy
from tests.acceptance.kill_scenarios import compare, play
from tests.clusters.bench import ROOT, SchedulerBench
from tests.clusters.pool import Pool
from tests.clusters.residents import fetch, pid, states
from tests.clusters.waiting import gwbatch, nodes, until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

BINDINGS = pytest.mark.parametrize(
    "bench", [["scheduler.bindings=python"], ["scheduler.bindings=cli"]], indirect=True, ids=["python", "cli"]
)
FAST = [f'scheduler.environment.PYTHONPATH="{ROOT}"', "scheduler.ask_every=5", "queues.general.memory_mb=500"]


# ---- jobs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bindings", ["python", "cli"])
def test_site_check_localizes_on_a_whole_node(bindings: str, pool: Pool, tmp_path: Path) -> None:
    settings = ["--set", f"scheduler.bindings={bindings}"]
    told = gwbatch("site", "check", "htcondor-generic", "--json", "--folder", str(tmp_path), *settings)
    rows = {row["check"]: row for row in json.loads(told)["checks"]}
    assert all(row["ok"] for row in rows.values()), rows
    assert rows["OMP_NUM_THREADS"]["found"] == str(os.cpu_count())


@BINDINGS
def test_a_whole_node_job_goes_there_and_comes_back(bench: SchedulerBench) -> None:
    until(lambda: nodes(bench.profile).free == 1)
    request = bench.submit(3)
    bench.until(request, JobState.RUNNING)
    until(lambda: nodes(bench.profile).free == 0)
    report = bench.until(request, JobState.DONE)
    assert (report.exit_code, report.cores) == (0, os.cpu_count())
    assert nodes(bench.profile).nodes == 1
    facts = bench.facts(request)
    assert facts["threads"] == str(os.cpu_count())
    assert "execute" in facts["home"]  # the home folder may be read-only on a node


@BINDINGS
def test_a_lost_reply_is_found_by_its_key(bench: SchedulerBench, pool: Pool) -> None:
    request = bench.submit(30)
    for name in ("followed.json", "events.log"):
        (bench.folder / "state" / "htcondor" / name).unlink(missing_ok=True)
    bench.again()
    assert bench.scheduler.find([request.key])[request.key].native_id
    bench.scheduler.cancel(request.key)
    bench.until(request, JobState.FAILED)
    assert pool.keys().count(request.key) == 1


@BINDINGS
def test_held_released_and_removed(bench: SchedulerBench, pool: Pool) -> None:
    request = bench.submit(1)
    pool.command("condor_hold", "-constraint", f'GwbatchKey == "{request.key}"')
    held = bench.until(request, JobState.HELD)
    assert "via condor_hold" in held.reason
    assert held.remedy is Remedy.WAIT
    bench.scheduler.release(request.key)
    bench.until(request, JobState.DONE)
    other = bench.submit(60)
    bench.until(other, JobState.RUNNING)
    pool.command("condor_rm", "-constraint", f'GwbatchKey == "{other.key}"')
    assert "via condor_rm" in bench.until(other, JobState.FAILED).reason


def test_an_input_that_cannot_be_transferred_is_held_with_its_code(bench: SchedulerBench) -> None:
    request = bench.nap()
    (request.directory / "job.json").chmod(0o000)
    (request.directory / "job.json").rename(request.directory / "gone")
    bench.scheduler.submit(request)
    held = bench.until(request, JobState.HELD)
    assert held.remedy is Remedy.RELEASE
    assert "code 13" in held.reason
    (request.directory / "gone").rename(request.directory / "job.json")
    (request.directory / "job.json").chmod(0o644)
    bench.scheduler.release(request.key)
    bench.until(request, JobState.DONE)


@pytest.mark.parametrize("bench", [["scheduler.python=/nowhere/python"]], indirect=True)
def test_an_interpreter_that_is_not_on_the_node_is_named(bench: SchedulerBench) -> None:
    request = bench.submit()
    report = bench.until(request, JobState.FAILED)
    assert report.exit_code == 127
    assert "there is no /nowhere/python" in (request.directory / "stderr").read_text()


def test_whole_node_jobs_run_one_at_a_time_the_urgent_first(bench: SchedulerBench) -> None:
    first = bench.submit(3)
    bench.until(first, JobState.RUNNING)
    later, urgent = bench.submit(1, priority=0), bench.submit(1, priority=100)
    for request in (first, later, urgent):
        bench.until(request, JobState.DONE)
    times = [bench.facts(request) for request in (first, urgent, later)]
    assert [one["began"] for one in times] == sorted(one["began"] for one in times)
    assert all(before["ended"] <= after["began"] for before, after in pairwise(times))


def test_one_core_jobs_run_side_by_side(bench: SchedulerBench) -> None:
    requests = [bench.submit(4, kind="small-nap") for _ in range(2)]
    for request in requests:
        bench.until(request, JobState.DONE)
    one, two = (bench.facts(request) for request in requests)
    assert one["threads"] == two["threads"] == "1"
    assert max(one["began"], two["began"]) < min(one["ended"], two["ended"])


# ---- killed daemons ---------------------------------------------------------------------------------------


def test_a_killed_starter_costs_time_only(bench: SchedulerBench, pool: Pool) -> None:
    request = bench.submit(3)
    bench.until(request, JobState.RUNNING)
    (starter,) = pool.processes(r"^condor_starter|/condor_starter")[:1]
    pool.kill(starter)
    assert bench.until(request, JobState.DONE).exit_code == 0
    assert pool.keys().count(request.key) == 1


def test_a_killed_shadow_costs_time_only(bench: SchedulerBench, pool: Pool) -> None:
    request = bench.submit(3)
    job = bench.until(request, JobState.RUNNING).native_id
    (shadow,) = pool.processes(rf"condor_shadow.* {job} ")
    pool.kill(shadow)
    assert bench.until(request, JobState.DONE).exit_code == 0


def test_a_killed_schedd_keeps_its_jobs(bench: SchedulerBench, pool: Pool) -> None:
    request, waiting = bench.submit(5), bench.submit(0)
    bench.until(request, JobState.RUNNING)
    pool.kill(pool.daemon("schedd"))
    for one in (request, waiting):
        assert bench.until(one, JobState.DONE, seconds=180).exit_code == 0
    assert pool.keys().count(request.key) == 1


def test_a_killed_job_has_failed_with_its_signal(bench: SchedulerBench, pool: Pool) -> None:
    request = bench.submit(60)
    bench.until(request, JobState.RUNNING)
    (process,) = until(lambda: pool.processes(r"gwbatch\.jobs\.runner"))
    pool.kill(process)
    report = bench.until(request, JobState.FAILED)
    assert report.reason == "killed by signal 9"


# ---- damaged event logs ------------------------------------------------------------------------------------


READ = ["doubled", "garbage", "followed again"]  # the log alone still tells everything, without condor_q


@pytest.mark.parametrize(
    ("damage", "bench"),
    [(one, ["scheduler.ask_every=600"] if one in READ else []) for one in ("cut", "removed", "rotated", *READ)],
    indirect=["bench"],
)
def test_the_event_log_is_damaged_while_a_job_runs(damage: str, bench: SchedulerBench, pool: Pool) -> None:
    log = bench.folder / "state" / "htcondor" / "events.log"
    request = bench.submit(3)
    bench.until(request, JobState.RUNNING)
    text = log.read_bytes()
    match damage:
        case "cut":
            log.write_bytes(b"")
        case "removed":
            log.unlink()
        case "rotated":
            log.rename(log.with_suffix(".1"))
        case "doubled":
            with log.open("ab") as stream:
                stream.write(text)
        case "garbage":
            with log.open("ab") as stream:
                stream.write(b"\x00\xff garbage 005 (001.000.000) nonsense\n" * 50)
        case _:
            (log.parent / "followed.json").unlink()
            bench.again()
    bench.until(request, JobState.DONE)


# ---- the dispatcher above it ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> dict[str, object]:
    return play(tmp_path_factory.mktemp("undisturbed") / "run", {}, "htcondor-generic", FAST)


@pytest.mark.parametrize(
    "point", ["htcondor.before_submit:2", "htcondor.after_submit:1", "job.submitted:2", "watcher.done:2"]
)
@pytest.mark.parametrize("bindings", ["python", "cli"])
def test_a_dispatcher_killed_around_a_submission_leaves_one_job(
    point: str, bindings: str, pool: Pool, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    before = pool.keys()
    environment = {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}
    settings = [*FAST, f"scheduler.bindings={bindings}"]
    compare(play(tmp_path / "run", environment, "htcondor-generic", settings, patience=240), undisturbed)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"
    ledger = Ledger(tmp_path / "run" / "state" / "ledger.sqlite")
    attempts = sorted(f"{row['key']}/{row['attempt']}" for row in ledger.read("SELECT key, attempt FROM jobs"))
    ledger.close()
    after = pool.keys()
    for key in before:
        after.remove(key)
    assert after == attempts


def test_the_pool_is_down_for_a_minute(pool: Pool, tmp_path: Path, undisturbed: dict[str, object]) -> None:
    pool.stop()
    back = threading.Timer(60.0, pool.start)
    back.start()
    try:
        compare(play(tmp_path / "run", {}, "htcondor-generic", FAST, patience=300), undisturbed)
    finally:
        back.join()


def test_the_demo_on_the_pool(pool: Pool, tmp_path: Path) -> None:
    where = ["--site", "htcondor-generic", "--state", str(tmp_path / "demo")]
    assert "All well" in gwbatch("demo", "--quick", *where, "--set", "queues.general.memory_mb=3000")


# ---- workflows --------------------------------------------------------------------------------------------


def write_dag(folder: Path, event: Path, tmp_path: Path) -> Path:
    policy = tmp_path / "policy.toml"
    policy.write_text('[annotation]\nleave_out = ["bayestar.volume.png", "bayestar.fits.gz"]\n')
    told = gwbatch(
        "dag", "write", str(event), "-o", str(folder), "--site", "htcondor-generic", "--policy", str(policy), "--json"
    )
    return Path(json.loads(told)["workflow"])


def finished(dag: Path) -> dict[str, object]:
    """Wait for DAGMan to end, and return its metrics."""
    metrics = dag.with_name(dag.name + ".metrics")
    until(lambda: metrics.exists() and metrics.stat().st_size, 240, lambda: dag.with_name(dag.name + ".dagman.out"))
    return dict(json.loads(metrics.read_text()))


def test_a_workflow_runs_to_its_end(pool: Pool, tmp_path: Path) -> None:
    dag = write_dag(tmp_path / "flow", example_event("short"), tmp_path)
    pool.command("condor_submit_dag", str(dag))
    assert finished(dag)["exitcode"] == 0
    summary = json.loads((dag.parent / "summary.json").read_text())
    assert summary["failed"] == []
    assert {node["state"] for node in summary["nodes"].values()} == {"DONE"}
    for node in summary["nodes"].values():
        assert (dag.parent / node["product"]).stat().st_size > 0


def test_a_node_that_fails_leaves_a_rescue_dag_that_can_be_used(pool: Pool, tmp_path: Path) -> None:
    dag = write_dag(tmp_path / "flow", example_event("short"), tmp_path)
    (given,) = (dag.parent / "inputs").glob("*/coinc.xml")
    given.write_text("<?xml version='1.0'?><nothing/>")
    pool.command("condor_submit_dag", str(dag))
    assert finished(dag)["exitcode"] != 0
    summary = json.loads((dag.parent / "summary.json").read_text())
    localize = next(node for node in summary["nodes"] if node.endswith(".localize"))
    assert "as a LIGO_LW coincidence file" in summary["nodes"][localize]["reason"]
    assert list(dag.parent.glob("workflow.dag.rescue*"))
    subject = localize.rpartition(".")[0]
    shutil.copyfile(example_event("short"), dag.parent / "inputs" / subject / "coinc.xml")
    dag.with_name("workflow.dag.metrics").unlink()
    pool.command("condor_submit_dag", str(dag))
    assert finished(dag)["exitcode"] == 0
    assert json.loads((dag.parent / "summary.json").read_text())["failed"] == []


# ---- deployment -------------------------------------------------------------------------------------------


def test_a_deployment_lives_dies_and_is_stopped(pool: Pool, tmp_path: Path) -> None:
    state, spool = tmp_path / "state", tmp_path / "spool"
    spool.mkdir()
    settings = ["listeners.spool.kind=spool", f"listeners.spool.directory={spool}", "listeners.spool.enabled=true"]
    words = [word for setting in settings for word in ("--set", setting)]
    deploy = ["deploy", "submit", "--site", "htcondor-generic", "--state", str(state), "--port", "18765", *words]
    assert "---- " in gwbatch(*deploy, "--dry-run")
    assert not state.exists()
    gwbatch(*deploy)
    first = until(lambda: pid(state), 90)
    until(lambda: states(state) == {"dagman": "running", "dispatcher": "running", "console": "running"}, 60)
    gwbatch(*deploy, code=4)
    console = until(lambda: fetch("http://127.0.0.1:18765/status.json", state), 60)
    assert json.loads(console)["dispatcher"]["pid"] == first

    os.kill(first, 9)
    second = until(lambda: pid(state) not in (0, first) and pid(state), 120)
    shutil.copyfile(ROOT / "docs" / "examples" / "alerts.jsonl", spool / ".alerts")
    (spool / ".alerts").rename(spool / "alerts.jsonl")
    until(lambda: (spool / "done" / "alerts.jsonl").exists(), 60)

    gwbatch("deploy", "hold", "--state", str(state))
    until(lambda: pid(state) == 0, 90)
    until(lambda: states(state)["dispatcher"] == "held", 60)
    gwbatch("deploy", "status", "--state", str(state), code=1)
    gwbatch("deploy", "release", "--state", str(state))
    third = until(lambda: pid(state), 120)
    assert third != second

    gwbatch("deploy", "rm", "--state", str(state))
    assert pid(state) == 0
    assert states(state) == {}
    assert not fetch("http://127.0.0.1:18765/", state)
    ledger = Ledger(state / "ledger.sqlite")
    assert ledger.read("SELECT released FROM leases WHERE name = 'dispatcher'")[0][0] == 1  # stopped, not killed
    assert ledger.read("SELECT count(*) FROM deliveries WHERE state <> 'done'")[0][0] == 0
    ledger.close()


def test_a_deployment_with_a_wrong_profile_waits_for_a_person(pool: Pool, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text((ROOT / "site-configs" / "htcondor-generic.toml").read_text())
    state = tmp_path / "state"
    gwbatch("deploy", "submit", "--site", str(profile), "--state", str(state), "--port", "18766")
    until(lambda: pid(state), 90)
    good = profile.read_text()
    profile.write_text("name = 1\n")
    os.kill(pid(state), 9)
    until(lambda: states(state).get("dispatcher") == "held", 120)
    profile.write_text(good)
    gwbatch("deploy", "release", "--state", str(state))
    until(lambda: pid(state), 90)
    gwbatch("deploy", "rm", "--state", str(state))
