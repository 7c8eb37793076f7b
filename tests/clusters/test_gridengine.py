"""Tests on a real Grid Engine cell, through the plug-in of ``docs/examples/gridengine`` only."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gwbatch.config.profile import load_site
from gwbatch.ledger import Ledger
from gwbatch.model import JobState
from tests.acceptance.kill_scenarios import compare, play
from tests.clusters.bench import PLUGIN, ROOT, SchedulerBench
from tests.clusters.cell import Cell
from tests.clusters.waiting import gwbatch
from tests.clusters.worlds import RealWorld
from tests.contract.contract import RemoteContract
from tests.contract.worlds import GRIDENGINE, World

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

SITE = str(GRIDENGINE / "gridengine.toml")
QUICK = ["scheduler.ask_soonest=0.5", "scheduler.ask_every=3", "scheduler.result_late=10", "scheduler.patience=5"]
PLUG_IN = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}  # gwbatch's processes do not pass it on by themselves
FAST = [f'scheduler.environment.PYTHONPATH="{ROOT}"', *QUICK]


@pytest.fixture
def bench(tmp_path: Path, cell: Cell) -> Iterator[SchedulerBench]:
    made = SchedulerBench(tmp_path, load_site(SITE, [*PLUGIN, *QUICK]).profile)
    yield made
    made.scheduler.close()
    cell.clear()


class CellWorld(RealWorld):
    """A Grid Engine cell whose qmaster a test can stop, or cause to forget a job."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cell: Cell) -> None:
        super().__init__(folder, monkeypatch, load_site(SITE, [*PLUGIN, *QUICK]).profile, "qsub")
        self.cell = cell

    def alive(self, key: str) -> int:
        listed = self.cell.command("qstat", "-r", "-xml")
        return listed.count(f".{quote(key, safe='')}</full_job_name>")

    def fall_silent(self, silent: bool = True) -> None:
        """Stop the qmaster, which then accepts connections but answers none, or continue it."""
        super().fall_silent(silent)
        self.cell.qmaster.send_signal(signal.SIGSTOP if silent else signal.SIGCONT)

    def forget_job(self, native_id: str) -> None:
        self.cell.forget(native_id)


class TestContract(RemoteContract):
    @pytest.fixture
    def world(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: Cell) -> Iterator[World]:
        yield CellWorld(tmp_path, monkeypatch, cell)
        cell.clear()


def test_site_check_localizes_on_a_whole_node(cell: Cell, tmp_path: Path) -> None:
    rows = json.loads(gwbatch("site", "check", SITE, "--json", "--folder", str(tmp_path)))["checks"]
    assert all(row["ok"] for row in rows), rows
    assert {row["check"]: row["found"] for row in rows}["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))


def test_a_whole_node_job_has_the_node_to_itself(bench: SchedulerBench) -> None:
    small = [bench.submit(3, kind="small-nap") for _ in range(2)]
    for request in small:
        bench.until(request, JobState.RUNNING)
    whole = bench.submit(2, priority=1100)
    for request in (*small, whole):
        bench.until(request, JobState.DONE)
    assert bench.facts(whole)["began"] >= max(bench.facts(request)["ended"] for request in small)
    assert [bench.facts(request)["threads"] for request in small] == ["1", "1"]


def test_a_job_is_warned_before_its_time_limit(cell: Cell, tmp_path: Path) -> None:
    settings = [*PLUGIN, *QUICK, "queues.openmp.time_limit=60", "scheduler.warn_before=57"]
    bench = SchedulerBench(tmp_path, load_site(SITE, settings).profile)
    request = bench.submit(120)
    bench.until(request, JobState.FAILED, seconds=60)
    told = json.loads((request.directory / "result.json").read_text())
    assert "asked the job to end" in told["error"]["message"]
    assert told["error"]["retryable"]
    assert "the time limit is near" in (request.directory / "stderr").read_text()
    bench.scheduler.close()


def test_a_failure_tells_its_exit_code(cell: Cell, tmp_path: Path) -> None:
    settings = [*QUICK, "scheduler.python=/nowhere/python", "plugins=['tests.clusters.sleep_jobs']"]
    bench = SchedulerBench(tmp_path, load_site(SITE, settings).profile)
    request = bench.submit()
    assert bench.until(request, JobState.FAILED).reason == "exit code 127"
    assert "there is no /nowhere/python" in (request.directory / "stderr").read_text()
    bench.scheduler.close()


def test_a_job_whose_folder_has_gone_is_held_with_the_reason(bench: SchedulerBench) -> None:
    blocker = bench.submit(4)
    request = bench.submit()
    request.directory.rename(request.directory.with_name("gone"))
    bench.until(blocker, JobState.DONE)
    assert "can't chdir" in bench.until(request, JobState.HELD).reason
    request.directory.with_name("gone").rename(request.directory)
    bench.scheduler.release(request.key)
    bench.until(request, JobState.DONE)


def test_a_qmaster_that_is_killed_keeps_the_jobs(bench: SchedulerBench, cell: Cell) -> None:
    running, waiting = bench.submit(8), bench.submit(0)
    bench.until(running, JobState.RUNNING)
    cell.kill_qmaster()
    assert bench.report(running).state is JobState.RUNNING
    cell.start()
    for request in (running, waiting):
        bench.until(request, JobState.DONE)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cell: Cell) -> dict[str, object]:
    return play(tmp_path_factory.mktemp("undisturbed") / "run", PLUG_IN, SITE, FAST, patience=240)


@pytest.mark.parametrize("point", ["gridengine.before_submit:2", "gridengine.after_submit:1", "watcher.done:2"])
def test_a_dispatcher_killed_around_a_submission_leaves_one_job(
    point: str, cell: Cell, tmp_path: Path, undisturbed: dict[str, object]
) -> None:
    killed = tmp_path / "killed"
    environment = {**PLUG_IN, "GWBATCH_KILL_AT": f"{point}@{killed}"}
    compare(play(tmp_path / "run", environment, SITE, FAST, patience=240), undisturbed)
    assert killed.exists(), "the marked point was never reached"
    ledger = Ledger(tmp_path / "run" / "state" / "ledger.sqlite")
    attempts = {f"{row['key']}/{row['attempt']}" for row in ledger.read("SELECT key, attempt FROM jobs")}
    ledger.close()
    names = _submitted(cell, tmp_path / "run" / "state")
    assert sorted(names) == sorted(quote(attempt, safe="") for attempt in attempts)


def _submitted(cell: Cell, state: Path) -> list[str]:
    """Return the key of every job that the accounting file has of this dispatcher, once per job."""
    prefix = f"gwbatch.{json.loads((state / 'gridengine' / 'identity.json').read_text())['identity']}."
    lines = (cell.folder / "root" / "default" / "common" / "accounting").read_text().splitlines()
    names = [line.split(":")[4] for line in lines if not line.startswith("#")]
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
