"""Jobs, pilots and campaigns on hosts that share no folder with the access point, and whose clocks may be wrong."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import reading
from gwbatch.config.profile import load_site
from gwbatch.config.resources import example_event
from gwbatch.dispatcher import run_once
from gwbatch.dispatcher.watcher import on_our_clock
from gwbatch.jobs.result import read_result
from gwbatch.model import JobRequest, JobState
from tests.campaign_products import results, sleepers, whole
from tests.clusters.bench import PLUGIN, SchedulerBench
from tests.clusters.campaigns import INJECTIONS, done
from tests.clusters.campaigns import gwbatch as campaign
from tests.clusters.environment import environment
from tests.clusters.hosts import NAMES, PoolOfHosts, without_jobs_here
from tests.clusters.one_event import localize_one
from tests.clusters.pool import Pool
from tests.clusters.standby import STANDBY, StandbyBench
from tests.clusters.waiting import gwbatch, nodes, until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = [*PLUGIN, "scheduler.ask_every=3"]
APART = ["--site", "htcondor-generic", "--set", "campaign.node.processes=2", "--set", "campaign.shared_folder=false"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PoolOfHosts]:
    prefix = os.environ.get("GWBATCH_CONDOR")
    if prefix is None or os.geteuid() == 0:
        pytest.fail("start these tests with tests/clusters/run: it installs HTCondor and leaves root behind")
    import htcondor2

    with tempfile.TemporaryDirectory(prefix="gwbatch-hosts-", ignore_cleanup_errors=True) as hosts:
        folder = tmp_path_factory.mktemp("pool-of-hosts")
        running = PoolOfHosts(Path(prefix), folder, tmp_path_factory.getbasetemp(), Path(hosts))
        running.start()
        with environment(running.environment):
            htcondor2.reload_config()  # the bindings may have read another pool's
            yield running
        htcondor2.reload_config()
        running.stop()


@pytest.fixture(autouse=True)
def cleared(pool: PoolOfHosts) -> Iterator[None]:
    yield
    pool.clear()


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SchedulerBench]:
    settings = [*QUICK, *getattr(request, "param", [])]
    made = SchedulerBench(tmp_path, load_site("htcondor-generic", settings).profile)
    yield made
    made.scheduler.close()


def look(bench: SchedulerBench, name: str, seconds: float) -> JobRequest:
    """Submit a job that lists the folder of all tests on its host."""
    parameters = {"seconds": seconds, "look": str(bench.folder.parent)}
    request = run_once.prepare_job("nap", {}, "rest.txt", parameters, bench.profile, bench.folder / "jobs" / name)
    bench.scheduler.submit(request)
    return request


def test_the_site_check_localizes_on_a_host(tmp_path: Path) -> None:
    told = gwbatch("site", "check", "htcondor-generic", "--json", "--folder", str(tmp_path))
    rows = {row["check"]: row for row in json.loads(told)["checks"]}
    assert all(row["ok"] for row in rows.values()), rows


def test_an_event_is_localized_while_all_files_travel(tmp_path: Path) -> None:
    assert localize_one(tmp_path / "one", "htcondor-generic", QUICK).partition(".")[0] in NAMES


def test_jobs_run_on_both_hosts_and_their_files_travel(bench: SchedulerBench) -> None:
    requests = [look(bench, name, 8.0) for name in ("one", "two")]
    reports = [bench.until(request, JobState.DONE) for request in requests]
    facts = [bench.facts(request) for request in requests]
    assert {one["host"] for one in facts} == set(NAMES)
    assert {report.host.partition(".")[0] for report in reports} == set(NAMES)
    assert [one["sees"] for one in facts] == [[], []]
    assert bench.folder.exists()


def test_a_pilot_takes_tasks_and_delivers_results_by_chirp_alone(tmp_path: Path) -> None:
    stage = StandbyBench(tmp_path, load_site("htcondor-generic", [*QUICK, *STANDBY]).profile)
    pilot = stage.pilot()
    assert pilot.host.partition(".")[0] in NAMES
    requests = [stage.submit(0.5) for _ in range(2)]
    assert stage.is_warm(requests[0])
    for request in requests:
        stage.until(request, JobState.DONE)
    assert stage.facts(requests[0])["host"] == pilot.host.partition(".")[0]
    stage.leave(pilot.job)
    stage.scheduler.close()


def test_parcels_reach_both_hosts(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "c")
    campaign("plan", INJECTIONS, example_event("short"), "-o", folder.path, "--products", "map,stats")
    campaign("submit", folder.path, "--nodes", 2, "--cores", 2, *APART)
    until(lambda: done(folder) == 3, 400, lambda: campaign("status", folder.path))
    assert campaign("stats", folder.path)["events"] == 3
    assert campaign("verify", folder.path)["faults"] == []


def test_a_host_at_fault_gets_no_more_parcels(tmp_path: Path) -> None:
    """Everything fails on one of the hosts; its events are done on the other one, and none is set aside."""
    folder = sleepers(tmp_path / "c", [0.3] * 160, {event: {"fails_on_node": 1} for event in range(160)})
    campaign("submit", folder.path, "--nodes", 4, "--cores", 2, *APART)
    until(lambda: done(folder) == 160, 400, lambda: campaign("status", folder.path))
    assert results(folder) == whole(160)
    assert list(campaign("status", folder.path)["nodes_at_fault"]) == ["node1"]
    with reading(folder.table) as connection:
        (tried,) = connection.execute("SELECT max(attempts) FROM events").fetchone()
    assert tried <= 2


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_job_whose_clock_is_wrong_gets_possible_times(tmp_path: Path, hours: int) -> None:
    (library,) = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")] or [None]
    if library is None and "GWBATCH_NEEDS_FAKETIME" not in os.environ:
        pytest.skip("libfaketime is missing")
    clock = [f'scheduler.environment.LD_PRELOAD="{library}"', f'scheduler.environment.FAKETIME="{hours:+d}h"']
    bench = SchedulerBench(tmp_path, load_site("htcondor-generic", [*QUICK, *clock]).profile)
    submitted = time.time()
    request = bench.submit(2.0)
    report = bench.until(request, JobState.DONE)
    now = time.time()
    bench.scheduler.close()
    result = read_result(request.directory, request.key)
    assert result is not None
    assert abs(result["started"] - submitted - hours * 3600) < 120, "the job had another clock"
    told = on_our_clock(replace(report, started=result["started"], finished=result["finished"]), submitted, now)
    assert submitted <= told.started <= told.finished <= now


# ---- other people's jobs -------------------------------------------------------------------------------------------


OTHERS = """\
universe = vanilla
executable = /bin/sleep
arguments = 600
transfer_executable = false
should_transfer_files = yes
request_cpus = 1
request_memory = 100
request_disk = 1000
requirements = Machine == "{host}.localdomain"
queue
"""


def run_others(pool: PoolOfHosts, folder: Path, hosts: Sequence[str] = NAMES) -> None:
    """Have another job on one core of each host."""
    for host in hosts:
        (folder / "others.sub").write_text(OTHERS.format(host=host))
        pool.command("condor_submit", str(folder / "others.sub"))
    running = ("condor_q", "-constraint", "JobStatus == 2", "-af", "ClusterId")
    until(lambda: pool.command(*running).count("\n") == len(hosts), 60)


def test_a_job_goes_to_the_host_that_is_mostly_free(bench: SchedulerBench, pool: PoolOfHosts) -> None:
    """By itself, the negotiator prefers the last core of a busy host."""
    run_others(pool, bench.folder, NAMES[:1])
    for _ in range(2):
        report = bench.until(bench.submit(), JobState.DONE)
        assert (report.host.partition(".")[0], report.cores) == (NAMES[1], os.cpu_count())


@pytest.mark.parametrize("bench", [["queues.openmp.share_wait=6"]], indirect=True, ids=["6 s"])
def test_a_job_takes_the_cores_that_others_have_left(bench: SchedulerBench, pool: PoolOfHosts) -> None:
    """After `share_wait`, ``min_cores`` decides what is enough."""
    run_others(pool, bench.folder)
    submitted = time.time()
    request = bench.submit()
    report = bench.until(request, JobState.DONE)
    assert (report.cores, bench.facts(request)["threads"]) == (1, "1")
    assert bench.facts(request)["began"] >= submitted + 5  # QDate is in whole seconds


@pytest.mark.parametrize("bench", [[], ["queues.openmp.untouched_node=true"]], indirect=True, ids=["any", "untouched"])
def test_a_job_does_not_get_the_slot_of_a_small_one(bench: SchedulerBench) -> None:
    small = [bench.submit(3.0, "small-nap", priority=10) for _ in range(2 * (os.cpu_count() or 1))]
    large = [bench.submit() for _ in range(2)]
    for request in small:
        assert bench.until(request, JobState.DONE).cores == 1
    assert [bench.until(request, JobState.DONE).cores for request in large] == [os.cpu_count()] * 2


@pytest.mark.parametrize("bench", [["queues.openmp.untouched_node=true"]], indirect=True, ids=["untouched"])
def test_a_job_for_an_untouched_node_waits_until_the_pool_is_defragmented(
    bench: SchedulerBench, pool: PoolOfHosts
) -> None:
    """Slots are divided, and other people's small jobs hold a core of each host, until one host is drained."""
    until(lambda: nodes(bench.profile).free == 2)
    run_others(pool, bench.folder)
    until(lambda: nodes(bench.profile).free == 0)
    request = bench.submit(1.0, priority=10)  # above the other jobs, which are of the same user here
    time.sleep(8)
    assert bench.report(request).state is JobState.QUEUED
    pool.command("condor_drain", "-graceful", "-resume-on-completion", "node2.localdomain")
    report = bench.until(request, JobState.DONE, seconds=120)
    assert report.host.startswith("node2")
    assert report.cores == os.cpu_count()


def test_a_job_whose_host_is_drained_is_done_on_another(bench: SchedulerBench, pool: PoolOfHosts) -> None:
    request = bench.submit(6.0)
    report = bench.until(request, JobState.RUNNING)
    pool.command("condor_drain", "-fast", "-resume-on-completion", report.host)
    assert bench.until(request, JobState.DONE, seconds=120).state is JobState.DONE
    assert bench.facts(request)["ended"] - bench.facts(request)["began"] >= 6.0
    assert pool.keys().count(request.key) == 1
    until(lambda: nodes(bench.profile).free == 2, 60)


# ---- flocking ------------------------------------------------------------------------------------------------------


def test_jobs_flock_to_another_pool(
    tmp_path: Path, pool: PoolOfHosts, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The access point's own pool has no node, and its jobs run in another pool."""
    there = Pool(pool.prefix, tmp_path_factory.mktemp("there"))
    there.start()
    closing = ExitStack()
    closing.callback(there.stop)
    address = (there.folder / "log" / ".collector_address").read_text().splitlines()[0].strip("<>").partition("?")[0]
    folder = tmp_path_factory.mktemp("here")
    here = Pool(pool.prefix, folder, without_jobs_here(folder, f"FLOCK_TO = {address}\n"))
    with closing:
        here.start()
        closing.callback(here.stop)
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        bench = SchedulerBench(tmp_path, load_site("htcondor-generic", [*QUICK, "scheduler.bindings=cli"]).profile)
        request = bench.submit(1.0)
        bench.until(request, JobState.DONE, seconds=180)
        ran = here.command("condor_history", "-constraint", f'GwbatchKey == "{request.key}"', "-af", "LastRemotePool")
        assert address.rpartition(":")[2] in ran
        bench.scheduler.close()
