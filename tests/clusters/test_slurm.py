"""Tests on a real Slurm cluster of four nodes, through the commands, pyslurm's double and pyslurm itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gwbatch.config.profile import load_site
from gwbatch.config.resources import example_event
from gwbatch.ledger import Ledger
from gwbatch.model import JobState, Remedy
from gwbatch.schedulers.pool import Pool
from tests.acceptance.kill_scenarios import compare, play
from tests.clusters.bench import PLUGIN, ROOT, SchedulerBench
from tests.clusters.cluster import Cluster
from tests.clusters.residents import fetch, pid, states
from tests.clusters.waiting import gwbatch, nodes, until
from tests.clusters.worlds import RealWorld
from tests.contract.contract import RemoteContract
from tests.contract.worlds import World

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

DOUBLE = ROOT / "tests" / "fakes" / "pyslurm_double"
QUICK = ["scheduler.ask_soonest=0.5", "scheduler.ask_every=3", "queues.general.memory_mb=500"]
FAST = [f'scheduler.environment.PYTHONPATH="{ROOT}"', *QUICK]


BINDINGS = ["cli", "double", pytest.param("pyslurm", marks=pytest.mark.long)]


@pytest.fixture(params=BINDINGS)
def bench(
    tmp_path: Path, cluster: Cluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SchedulerBench]:
    if request.param != "cli":
        monkeypatch.syspath_prepend(folder_of(request.param))
    settings = [*PLUGIN, *QUICK, f"scheduler.bindings={'cli' if request.param == 'cli' else 'pyslurm'}"]
    made = SchedulerBench(tmp_path, load_site("slurm-generic", settings).profile)
    yield made
    made.scheduler.close()
    cluster.clear()


class ClusterWorld(RealWorld):
    """A Slurm cluster whose slurmctld a test can stop, or cause to forget a job."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster, bindings: str) -> None:
        settings = [
            *PLUGIN,
            *QUICK,
            f"scheduler.bindings={bindings}",
            "scheduler.patience=5",
            "scheduler.result_late=5",
        ]
        super().__init__(folder, monkeypatch, load_site("slurm-generic", settings).profile, "sbatch")
        self.cluster = cluster
        self._before = folder / "state.before"
        time.sleep(6)  # slurmctld saves its state every five seconds
        shutil.copytree(cluster.folder / "state", self._before)

    def alive(self, key: str) -> int:
        listed = self.cluster.command("squeue", "-h", "-t", "PD,R,CG", "-o", "%k").splitlines()
        return sum(comment.endswith(f":{key}") for comment in listed)

    def fall_silent(self, silent: bool = True) -> None:
        """Stop slurmctld, which then accepts connections but answers none, or continue it."""
        super().fall_silent(silent)
        self.cluster.daemon("slurmctld").send_signal(signal.SIGSTOP if silent else signal.SIGCONT)

    def forget_job(self, native_id: str) -> None:
        """Restore slurmctld's state from before the job, so that the next job gets the same number."""
        saved = self.cluster.folder / "state"
        self.cluster.kill(self.cluster.daemon("slurmctld"))
        shutil.rmtree(saved)
        shutil.copytree(self._before, saved)
        self.cluster.start_controller()


@pytest.mark.long
@pytest.mark.parametrize("bindings", ["cli", "double", "pyslurm"])
class TestContract(RemoteContract):
    @pytest.fixture
    def world(
        self, bindings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
    ) -> Iterator[World]:
        if bindings != "cli":
            monkeypatch.syspath_prepend(folder_of(bindings))
        yield ClusterWorld(tmp_path, monkeypatch, cluster, "cli" if bindings == "cli" else "pyslurm")
        cluster.clear()


def folder_of(bindings: str) -> str:
    """Return the folder of pyslurm or its double; skip the test if no release of pyslurm fits the cluster's Slurm."""
    folder = str(DOUBLE) if bindings == "double" else os.environ.get("GWBATCH_PYSLURM")
    if folder is None:
        pytest.skip("no pyslurm fits this Slurm: tests/clusters/slurm/pyslurm says why")
    return folder


# ---- jobs -------------------------------------------------------------------------------------------------


def test_site_check_localizes_on_a_whole_node(cluster: Cluster, tmp_path: Path) -> None:
    rows = json.loads(gwbatch("site", "check", "slurm-generic", "--json", "--folder", str(tmp_path)))["checks"]
    assert all(row["ok"] for row in rows), rows
    assert {row["check"]: row["found"] for row in rows}["OMP_NUM_THREADS"] == "2"


def test_whole_node_jobs_run_on_two_of_four_nodes_at_once(bench: SchedulerBench, cluster: Cluster) -> None:
    until(lambda: not cluster.command("squeue", "-h").strip())  # Slurm may still be cleaning a node after another test
    requests = [bench.submit(6) for _ in range(2)]
    for request in requests:
        bench.until(request, JobState.RUNNING)
    busy = cluster.command("sinfo", "-h", "-N", "-p", "main", "-t", "alloc", "-o", "%N").split()
    assert len(busy) == 2
    assert nodes(bench.profile) == Pool(nodes=4, free=2)
    hosts = set()
    for request in requests:
        bench.until(request, JobState.DONE)
        facts = bench.facts(request)
        assert facts["threads"] == "2"
        hosts.add((facts["began"], facts["ended"]))
    (first, second) = sorted(hosts)
    assert second[0] < first[1]


def test_one_core_jobs_share_a_node(bench: SchedulerBench) -> None:
    requests = [bench.submit(1, kind="small-nap") for _ in range(2)]
    for request in requests:
        bench.until(request, JobState.DONE)
        assert bench.facts(request)["threads"] == "1"


def test_a_lost_reply_is_found_by_its_key(bench: SchedulerBench, cluster: Cluster) -> None:
    request = bench.submit(30)
    (bench.folder / "state" / "slurm" / "jobs.json").unlink()
    bench.again()
    assert bench.scheduler.find([request.key])[request.key].native_id
    bench.scheduler.cancel(request.key)
    reason = bench.until(request, JobState.FAILED).reason
    assert reason in ("cancelled", "ended with an error")  # from slurmctld, or from the job's own result
    assert sum(comment.endswith(request.key) for comment in cluster.comments()) == 1


def test_held_released_and_cancelled(bench: SchedulerBench, cluster: Cluster) -> None:
    request = bench.nap(1)
    blockers = [bench.submit(6) for _ in range(4)]
    job = bench.scheduler.submit(request)
    cluster.command("scontrol", "hold", job)
    held = bench.until(request, JobState.HELD)
    assert held.remedy is Remedy.WAIT
    bench.scheduler.release(request.key)
    for blocker in blockers:
        bench.scheduler.cancel(blocker.key)
    bench.until(request, JobState.DONE)
    other = bench.submit(60)
    native = bench.until(other, JobState.RUNNING).native_id
    cluster.command("scancel", native)
    bench.until(other, JobState.FAILED)


def test_why_a_job_waits_is_told(bench: SchedulerBench) -> None:
    blockers = [bench.submit(5) for _ in range(4)]
    waiting = bench.submit(0)
    until(lambda: bench.report(waiting).reason in ("Resources", "Priority"), 30, lambda: bench.report(waiting))
    for request in (*blockers, waiting):
        bench.until(request, JobState.DONE)


def test_urgent_jobs_go_first(bench: SchedulerBench) -> None:
    blockers = [bench.submit(4) for _ in range(4)]
    for blocker in blockers:
        bench.until(blocker, JobState.RUNNING)
    later = [bench.submit(3, priority=0) for _ in range(4)]
    urgent = bench.submit(0, priority=1100)
    bench.until(urgent, JobState.DONE)
    for request in later:
        bench.until(request, JobState.DONE)
    assert bench.facts(urgent)["began"] <= max(bench.facts(request)["began"] for request in later)


def test_a_job_is_warned_before_its_time_limit(cluster: Cluster, tmp_path: Path) -> None:
    settings = [*PLUGIN, *QUICK, "queues.openmp.time_limit=60", "scheduler.warn_before=55"]
    bench = SchedulerBench(tmp_path, load_site("slurm-generic", settings).profile)
    request = bench.submit(120)
    bench.until(request, JobState.FAILED, seconds=150)
    told = json.loads((request.directory / "result.json").read_text())
    assert "asked the job to end" in told["error"]["message"]
    assert told["error"]["retryable"]
    assert "the time limit is near" in (request.directory / "stderr").read_text()
    bench.scheduler.close()


def test_a_time_limit_is_named_without_a_warning_too(cluster: Cluster, tmp_path: Path) -> None:
    settings = [*PLUGIN, *QUICK, "queues.openmp.time_limit=1", "scheduler.warn_before=0"]
    bench = SchedulerBench(tmp_path, load_site("slurm-generic", settings).profile)
    request = bench.submit(300)
    bench.until(request, JobState.FAILED, seconds=200)
    assert "time limit near" in json.loads((request.directory / "result.json").read_text())["error"]["message"]
    bench.scheduler.close()


def test_a_failure_tells_its_exit_code(cluster: Cluster, tmp_path: Path) -> None:
    settings = [*QUICK, "scheduler.python=/nowhere/python", "plugins=['tests.clusters.sleep_jobs']"]
    bench = SchedulerBench(tmp_path, load_site("slurm-generic", settings).profile)
    request = bench.submit()
    assert bench.until(request, JobState.FAILED).reason == "exit code 127"
    assert "there is no /nowhere/python" in (request.directory / "stderr").read_text()
    bench.scheduler.close()


# ---- killed daemons and failed nodes -----------------------------------------------------------------------


def node_of(cluster: Cluster, job: str) -> str:
    return cluster.command("squeue", "-h", "-j", job, "-o", "%N").strip()


def test_a_node_that_fails_ends_the_attempt(bench: SchedulerBench, cluster: Cluster) -> None:
    request = bench.submit(300)
    job = bench.until(request, JobState.RUNNING).native_id
    node = until(lambda: node_of(cluster, job))
    with cluster.dead_node(node, job):
        assert "node failed" in bench.until(request, JobState.FAILED, seconds=240).reason


def test_a_controller_that_is_restarted_keeps_the_jobs(bench: SchedulerBench, cluster: Cluster) -> None:
    running, waiting = bench.submit(8), bench.submit(0)
    bench.until(running, JobState.RUNNING)
    time.sleep(6)  # slurmctld saves its state every five seconds
    cluster.kill(cluster.daemon("slurmctld"))
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        assert bench.report(running).state in (JobState.RUNNING, JobState.DONE)
        time.sleep(0.2)
    cluster.start_controller()
    for request in (running, waiting):
        bench.until(request, JobState.DONE)
        assert sum(comment.endswith(request.key) for comment in cluster.comments()) == 1


def test_a_job_that_the_controller_forgot_in_a_crash_is_found_missing(bench: SchedulerBench, cluster: Cluster) -> None:
    blockers = [bench.submit(8) for _ in range(4)]
    for blocker in blockers:
        bench.until(blocker, JobState.RUNNING)
    time.sleep(6)  # slurmctld saves its state every five seconds
    saved = cluster.folder / "state"
    copy = cluster.folder / "state.before"
    shutil.copytree(saved, copy)
    forgotten = bench.submit(0)
    bench.until(forgotten, JobState.QUEUED)
    cluster.kill(cluster.daemon("slurmctld"))
    shutil.rmtree(saved)
    copy.rename(saved)
    cluster.command("slurmctld", "-f", str(cluster.folder / "slurm.conf"))
    assert "no longer knows" in bench.until(forgotten, JobState.LOST).reason
    for blocker in blockers:
        bench.until(blocker, JobState.DONE)


def test_a_drained_node_gets_nothing_new(bench: SchedulerBench, cluster: Cluster) -> None:
    cluster.command("scontrol", "update", "nodename=n1,n2,n3", "state=drain", "reason=test")
    try:
        requests = [bench.submit(1) for _ in range(2)]
        for request in requests:
            assert bench.until(request, JobState.DONE).state is JobState.DONE
        jobs = cluster.command("squeue", "--states=all", "-h", "-o", "%k %N").splitlines()
        taken = {line.split()[1] for line in jobs if any(request.key in line for request in requests)}
        assert taken == {"n4"}
        assert nodes(bench.profile).nodes == 1
    finally:
        cluster.command("scontrol", "update", "nodename=n1,n2,n3", "state=resume")


def test_a_job_that_avoids_a_node_by_a_name_unknown_to_slurm_runs_all_the_same(bench: SchedulerBench) -> None:
    request = replace(bench.nap(), avoid=("n1.somewhere.else",))
    bench.scheduler.submit(request)
    bench.until(request, JobState.DONE)


def test_a_job_that_cannot_avoid_a_node_takes_it_all_the_same(bench: SchedulerBench) -> None:
    request = replace(bench.nap(0), avoid=("n1", "n2", "n3", "n4"))
    bench.scheduler.submit(request)
    bench.until(request, JobState.DONE)


def test_a_cluster_without_controller_is_busy_and_not_empty(bench: SchedulerBench, cluster: Cluster) -> None:
    from gwbatch.schedulers.base import SchedulerBusy

    request = bench.submit(1)
    bench.until(request, JobState.DONE)
    time.sleep(6)
    cluster.kill(cluster.daemon("slurmctld"))
    try:
        with pytest.raises(SchedulerBusy):
            bench.scheduler.find(["nobody/knows/1"])
        with pytest.raises(SchedulerBusy):
            bench.submit(0)
    finally:
        cluster.start_controller()


# ---- the dispatcher above it ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> dict[str, object]:
    return play(tmp_path_factory.mktemp("undisturbed") / "run", {}, "slurm-generic", FAST, patience=240)


@pytest.mark.parametrize("bindings", BINDINGS)
@pytest.mark.parametrize(
    "point", ["slurm.before_submit:2", "slurm.after_submit:1", "job.submitted:2", "watcher.done:2"]
)
def test_a_dispatcher_killed_around_a_submission_leaves_one_job(
    point: str, bindings: str, cluster: Cluster, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    before = cluster.comments()
    environment = {"GWBATCH_KILL_AT": f"{point}@{tmp_path}/killed"}
    if bindings != "cli":
        environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{folder_of(bindings)}"
    settings = [*FAST, f"scheduler.bindings={'cli' if bindings == 'cli' else 'pyslurm'}"]
    compare(play(tmp_path / "run", environment, "slurm-generic", settings, patience=240), undisturbed)
    assert (tmp_path / "killed").exists(), "the marked point was never reached"
    ledger = Ledger(tmp_path / "run" / "state" / "ledger.sqlite")
    attempts = sorted(f"{row['key']}/{row['attempt']}" for row in ledger.read("SELECT key, attempt FROM jobs"))
    ledger.close()
    after = cluster.comments()
    for comment in before:
        after.remove(comment)
    assert sorted(comment.split(":", 2)[2] for comment in after) == attempts


# ---- workflows --------------------------------------------------------------------------------------------


def write_workflow(folder: Path, event: Path, tmp_path: Path) -> Path:
    policy = tmp_path / "policy.toml"
    policy.write_text('[annotation]\nleave_out = ["bayestar.volume.png", "bayestar.fits.gz"]\n')
    where = ["--site", "slurm-generic", "--set", "queues.general.memory_mb=2000", "--policy", str(policy)]
    return Path(json.loads(gwbatch("dag", "write", str(event), "-o", str(folder), *where, "--json"))["workflow"])


def summary_of(script: Path) -> dict[str, object]:
    """Submit the workflow, and return the summary that is collected at its end."""
    summary = script.parent / "summary.json"
    summary.unlink(missing_ok=True)
    subprocess.run(["bash", script], check=True, stdout=subprocess.DEVNULL)
    until(summary.exists, 240)
    return dict(json.loads(summary.read_text()))


def test_a_workflow_runs_to_its_end(cluster: Cluster, tmp_path: Path) -> None:
    script = write_workflow(tmp_path / "flow", example_event("short"), tmp_path)
    summary = summary_of(script)
    assert summary["failed"] == []
    for node in summary["nodes"].values():  # type: ignore[attr-defined]
        assert node["state"] == "DONE"
        assert (script.parent / node["product"]).stat().st_size > 0


def test_a_workflow_whose_node_fails_can_be_run_again(cluster: Cluster, tmp_path: Path) -> None:
    script = write_workflow(tmp_path / "flow", example_event("short"), tmp_path)
    (given,) = (script.parent / "inputs").glob("*/coinc.xml")
    given.write_text("<?xml version='1.0'?><nothing/>")
    summary = summary_of(script)
    localize = next(node for node in summary["failed"] if node.endswith(".localize"))  # type: ignore[attr-defined]
    assert "as a LIGO_LW coincidence file" in summary["nodes"][localize]["reason"]  # type: ignore[index]
    shutil.copyfile(example_event("short"), script.parent / "inputs" / localize.rpartition(".")[0] / "coinc.xml")
    assert summary_of(script)["failed"] == []


# ---- deployment -------------------------------------------------------------------------------------------


def test_a_deployment_lives_dies_and_is_stopped(cluster: Cluster, tmp_path: Path) -> None:
    state, spool = tmp_path / "state", tmp_path / "spool"
    spool.mkdir()
    settings = ["listeners.spool.kind=spool", f"listeners.spool.directory={spool}", "listeners.spool.enabled=true"]
    settings += ["scheduler.resident_memory_mb=1000", "scheduler.resident_node=n2"]
    words = [word for setting in settings for word in ("--set", setting)]
    deploy = ["deploy", "submit", "--site", "slurm-generic", "--state", str(state), "--port", "18767", *words]
    assert "#SBATCH --requeue" in gwbatch(*deploy, "--dry-run")
    assert not state.exists()
    gwbatch(*deploy)
    first = until(lambda: pid(state), 90)
    assert states(state) == {"dispatcher": "running"}
    until(lambda: fetch("http://127.0.0.1:18767/status.json", state), 60)
    gwbatch(*deploy, code=4)

    os.kill(first, 9)  # the batch script starts it again
    second = until(lambda: pid(state) not in (0, first) and pid(state), 60)
    shutil.copyfile(ROOT / "docs" / "examples" / "alerts.jsonl", spool / ".alerts")
    (spool / ".alerts").rename(spool / "alerts.jsonl")
    until(lambda: (spool / "done" / "alerts.jsonl").exists(), 60)

    gwbatch("deploy", "hold", "--state", str(state))
    until(lambda: pid(state) == 0, 90)
    until(lambda: states(state) == {"dispatcher": "held"}, 60, lambda: states(state))
    gwbatch("deploy", "status", "--state", str(state), code=1)
    gwbatch("deploy", "release", "--state", str(state))
    third = until(lambda: pid(state) not in (0, second) and pid(state), 150)

    gwbatch("deploy", "rm", "--state", str(state))
    assert third
    assert pid(state) == 0
    until(lambda: not fetch("http://127.0.0.1:18767/", state), 10)
    assert states(state) == {}
    ledger = Ledger(state / "ledger.sqlite")
    assert ledger.read("SELECT released FROM leases WHERE name = 'dispatcher'")[0][0] == 1  # stopped, not killed
    assert ledger.read("SELECT count(*) FROM deliveries WHERE state <> 'done'")[0][0] == 0
    ledger.close()


def test_a_deployment_is_queued_again_when_its_node_dies(cluster: Cluster, tmp_path: Path) -> None:
    state = tmp_path / "state"
    memory = ["--set", "scheduler.resident_memory_mb=1000", "--set", "scheduler.resident_node=n3"]
    gwbatch("deploy", "submit", "--site", "slurm-generic", "--state", str(state), "--port", "18768", *memory)
    first = until(lambda: pid(state), 90)
    job = cluster.command("squeue", "-h", "-n", "gwbatch-dispatcher", "-o", "%i").strip()
    node = node_of(cluster, job)
    assert node == "n3"  # where its ledger is
    with cluster.dead_node(node, job):
        until(lambda: pid(state) == 0, 60)
        until(lambda: states(state) == {"dispatcher": "idle"}, 120, lambda: states(state))
    until(lambda: pid(state) not in (0, first) and pid(state), 240)
    gwbatch("deploy", "rm", "--state", str(state))
