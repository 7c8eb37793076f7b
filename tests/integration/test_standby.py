"""Pilots on this machine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from ligo.skymap.io import read_sky_map
from matplotlib.image import imread

from gwbatch.clock import ManualClock
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import load_site
from gwbatch.config.resources import example_event
from gwbatch.dispatcher import run_once
from gwbatch.jobs.standby.channel import FolderChannel
from gwbatch.jobs.standby.layout import Beat, Task, is_task, pilot_name, task_name
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.local import LocalScheduler
from gwbatch.schedulers.routed import RoutedScheduler
from gwbatch.schedulers.simulated import SimulatedScheduler
from gwbatch.schedulers.standby import StandbyFolder
from tests.clusters.bench import PLUGIN, ROOT
from tests.clusters.standby import SMALL, STANDBY, StandbyBench, StandbyPlays, child_of
from tests.clusters.waiting import until
from tests.skymaps import simulated

MAP = "bayestar.multiorder.fits"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StandbyBench]:
    made = StandbyBench(tmp_path, load_site("local", [*PLUGIN, *SMALL]).profile)
    made.ends_gently = False  # a cancelled job is killed on this machine
    yield made
    made.end_pilots()
    made.scheduler.close()


class TestOnThisMachine(StandbyPlays):
    """Local pilots."""


LIGHT = ["em-bright", "mchirp-source", "plot-allsky", "plot-volume", "flatten", "fits-header", "plot-coherence"]


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[StandbyBench]:
    """Yield a bench whose pilot runs the real computations of the general queue, one at a time."""
    made = StandbyBench(tmp_path, load_site("local", [f"standby.general.kinds={json.dumps(LIGHT)}"]).profile)
    yield made
    made.end_pilots()
    made.scheduler.close()


def test_a_pilot_makes_the_same_products(workshop: StandbyBench) -> None:
    """The parent has one thread; it never opens a parallel region, whatever it has imported."""
    pilot = workshop.pilot()
    assert psutil.Process(pilot.pid).num_threads() == 1
    made = {}
    for kind, output in (("em-bright", "em_bright.json"), ("fits-header", "map.html"), ("plot-volume", "volume.png")):
        inputs = {"coinc.xml": example_event("short")} if kind == "em-bright" else {MAP: simulated("nsbh_hl")}
        parameters = load_policy().annotation.parameters.get(kind, {})
        outcomes = []
        for start in (workshop.scheduler.submit, _cold(workshop)):
            directory = workshop.folder / "jobs" / f"{kind}-{len(outcomes)}"
            request = run_once.prepare_job(kind, inputs, output, parameters, workshop.profile, directory)
            start(request)
            workshop.until(request, JobState.DONE)
            outcomes.append(_content(directory / output))
        made[kind] = outcomes
    assert len(workshop.claims()) == len(made)
    for kind, (warm, cold) in made.items():
        assert np.array_equal(warm, cold), kind
    assert psutil.Process(pilot.pid).num_threads() == 1


def test_a_pilot_localizes_with_all_cores(tmp_path: Path, fast_coinc: Path) -> None:
    made = StandbyBench(tmp_path, load_site("local", ['standby.openmp.kinds=["localize"]']).profile)
    pilot = made.pilot()
    assert psutil.Process(pilot.pid).num_threads() == 1
    outcomes = []
    for start in (made.scheduler.submit, _cold(made)):
        directory = made.folder / "jobs" / str(len(outcomes))
        request = run_once.prepare_job("localize", {"coinc.xml": fast_coinc}, MAP, {}, made.profile, directory)
        start(request)
        if not outcomes:
            child, threads = child_of(pilot), 0
            while made.report(request).state is JobState.RUNNING:
                with contextlib.suppress(psutil.NoSuchProcess):
                    threads = max(threads, child.num_threads())
                time.sleep(0.02)
        made.until(request, JobState.DONE, seconds=300)
        outcomes.append(read_sky_map(str(directory / MAP), moc=True))
    cores = len(os.sched_getaffinity(0))
    assert threads >= cores
    warm, cold = outcomes
    assert all((warm[name] == cold[name]).all() for name in cold.colnames)
    assert len(made.claims()) == 1
    made.end_pilots()
    made.scheduler.close()


def _content(path: Path) -> Any:
    """Return what a file shows, without the command line that some pictures contain."""
    return imread(path) if path.suffix == ".png" else np.frombuffer(path.read_bytes(), dtype=np.uint8)


def _cold(stage: StandbyBench) -> Callable[[JobRequest], str]:
    return stage.standby._inner.submit


# ---- the folder -------------------------------------------------------------------------------------------------


def test_claim_and_withdrawal_race_to_one_end(tmp_path: Path) -> None:
    """In a thousand races, each task ends up either withdrawn or claimed."""
    folder = StandbyFolder(tmp_path / "desk")
    channel = FolderChannel(folder.path)
    pilot = pilot_name("standby/openmp/1", time.time())
    names = [task_name(f"G{number}/localize/1") for number in range(1000)]
    for number, name in enumerate(names):
        folder.offer(name, Task(f"G{number}/localize/1", "localize", "/nowhere", [], []))
    gate = threading.Barrier(2)
    withdrawn: list[str] = []
    claimed: list[str] = []

    def withdraw() -> None:
        gate.wait()
        withdrawn.extend(name for name in names if folder.withdraw(name))

    def claim() -> None:
        gate.wait()
        claimed.extend(name for name in reversed(names) if channel.claim(name, pilot))

    threads = [threading.Thread(target=one) for one in (withdraw, claim)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted([*withdrawn, *claimed]) == sorted(names)
    assert len(list(folder.claims())) == len(claimed)
    channel.close(pilot)


def test_a_full_disk_sends_jobs_the_cold_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StandbyBench(tmp_path, load_site("local", [*PLUGIN, *SMALL]).profile)
    stage.pilot()

    def full(name: str, task: Task) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage.crew.folder, "offer", full)
    request = stage.submit()
    assert not stage.is_warm(request)
    stage.until(request, JobState.DONE)
    stage.end_pilots()
    stage.scheduler.close()


def test_what_cannot_be_taken_back_is_not_submitted_as_well(tmp_path: Path) -> None:
    """Two runs in one folder would ruin each other."""
    folder = StandbyFolder(tmp_path / "desk")
    (folder.path / "inbox" / task_name("G1/localize/1")).mkdir()  # a folder, which cannot be unlinked
    with pytest.raises(SchedulerBusy, match="Cannot withdraw"):
        folder.withdraw(task_name("G1/localize/1"))


def test_what_is_no_task_is_left_alone(tmp_path: Path) -> None:
    folder = StandbyFolder(tmp_path / "desk")
    for name in ("", ".part", "../inbox", "x" * 32, "inbox"):
        assert not is_task(name)
    (folder.path / "pilots" / "torn.json").write_text('{"pilot": "a", "jo')
    (folder.path / "taken" / "stranger").write_text("{}")
    assert folder.look() == []
    assert list(folder.claims()) == []


def test_silence_is_judged_by_our_own_clock(tmp_path: Path) -> None:
    now = [0.0]
    folder = StandbyFolder(tmp_path / "desk", lambda: now[0])
    beat = Beat("a-1", "standby/openmp/1", 1, {}, 1, False, "node", 7, 2, 9e9, 0.0, 0.0, 0)  # a clock far ahead
    path = folder.path / "pilots" / "a-1.json"
    path.write_bytes(msgspec.json.encode(beat))
    folder.look()
    now[0] = 3.0
    folder.look()
    assert folder.silence("a-1") == 3.0
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(beat, beat=2)))
    folder.look()
    assert folder.silence("a-1") == 0.0
    path.unlink()
    folder.look()
    assert folder.silence("a-1") is None


# ---- beside a batch system ----------------------------------------------------------------------------------------


def test_a_queue_of_this_machine_does_not_wait_for_the_batch_system(tmp_path: Path) -> None:
    batch = SimulatedScheduler(ManualClock(0.0))
    local = LocalScheduler(tmp_path / "local", 1)
    routed = RoutedScheduler(batch, local, ["general"])
    profile = load_site("local", [*PLUGIN]).profile
    small = run_once.prepare_job("small-nap", {}, "rest.txt", {"seconds": 0}, profile, tmp_path / "small")
    large = run_once.prepare_job("nap", {}, "rest.txt", {"seconds": 0}, profile, tmp_path / "large")
    keys = [large.key, small.key]
    for request in (large, small):
        routed.submit(request)
    until(lambda: routed.poll(keys)[small.key].state is JobState.DONE)
    assert routed.poll(keys)[large.key].state is JobState.QUEUED
    again = RoutedScheduler(batch, LocalScheduler(tmp_path / "local", 1), ["general"])
    assert {key: report.state for key, report in again.find(keys).items()} == {
        small.key: JobState.DONE, large.key: JobState.QUEUED,
    }  # fmt: skip
    routed.cancel(large.key)
    assert routed.poll([large.key])[large.key].state.final
    routed.close()


def test_whole_machine_jobs_take_turns_with_a_pilot(tmp_path: Path) -> None:
    """Two localizations at once would both finish late."""
    stage = StandbyBench(tmp_path, load_site("local", [*PLUGIN, *STANDBY]).profile)
    stage.pilot()
    first, second = stage.submit(1.5), stage.submit(0)
    assert (stage.is_warm(first), stage.is_warm(second)) == (True, False)
    assert stage.report(second).state is JobState.QUEUED
    stage.until(first, JobState.DONE)
    stage.until(second, JobState.DONE)
    assert stage.facts(first)["ended"] <= stage.facts(second)["began"]
    third = stage.submit(0)
    assert stage.is_warm(third)
    stage.until(third, JobState.DONE)
    stage.end_pilots()
    stage.scheduler.close()


def test_jobs_of_this_machine_keep_to_its_memory(tmp_path: Path) -> None:
    profile = load_site("local", [*PLUGIN, "queues.general.memory_mb=600"]).profile
    local = LocalScheduler(tmp_path / "local", 4, environment={"PYTHONPATH": str(ROOT)}, memory_mb=1000)
    requests = [
        run_once.prepare_job("small-nap", {}, "rest.txt", {"seconds": 0.5}, profile, tmp_path / str(number))
        for number in range(2)
    ]
    for request in requests:
        local.submit(request)
    states = [local.find([request.key])[request.key].state for request in requests]
    assert states == [JobState.RUNNING, JobState.QUEUED]
    for request in requests:
        until(lambda request=request: local.poll([request.key])[request.key].state is JobState.DONE)


def test_a_claim_that_was_counted_before_a_restart_holds_nothing_up(tmp_path: Path) -> None:
    stage = StandbyBench(tmp_path, load_site("local", [*PLUGIN, *STANDBY]).profile)
    stage.pilot()
    first = stage.submit(0)
    stage.until(first, JobState.DONE)
    stage.again()  # after the restart, nothing polls the first job
    stage.end_pilots()
    second = stage.submit(0)
    assert not stage.is_warm(second)
    stage.until(second, JobState.DONE)
    stage.scheduler.close()
