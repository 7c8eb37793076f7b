"""Pilots on a real Slurm cluster, which get each task by a step inside their own allocation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest

from gwbatch.config.profile import load_site
from gwbatch.model import JobState
from tests.acceptance.standby_kills import run_kills
from tests.clusters.bench import PLUGIN
from tests.clusters.cluster import Cluster
from tests.clusters.standby import KILLS, STANDBY, BatchStandbyPlays, StandbyBench
from tests.clusters.waiting import until

pytestmark = [pytest.mark.clusters, pytest.mark.timeout(600)]

QUICK = ["scheduler.ask_soonest=0.5", "scheduler.ask_every=3", "scheduler.result_late=2"]


class SlurmStandby(StandbyBench):
    """A bench on a cluster of four nodes, with a partition for pilots."""

    nodes = 4
    gives_way: ClassVar[dict[str, Any]] = {"partition": "standby"}
    all_cores: ClassVar[dict[str, Any]] = {}  # as always in its queue


@pytest.fixture
def stage(tmp_path: Path, cluster: Cluster) -> Iterator[StandbyBench]:
    made = SlurmStandby(tmp_path, load_site("slurm-generic", [*PLUGIN, *QUICK, *STANDBY]).profile)
    yield made
    made.end_pilots()
    made.scheduler.close()
    cluster.clear()


@pytest.fixture
def held_for(cluster: Cluster) -> Callable[[str], float]:
    def seconds(job: str) -> float:
        told = cluster.command("scontrol", "show", "job", "-o", job)
        hours, minutes, rest = told.partition("RunTime=")[2].split()[0].split(":")
        return int(hours) * 3600.0 + int(minutes) * 60.0 + int(rest)

    return seconds


class TestOnSlurm(BatchStandbyPlays):
    """Tests of pilots that are batch jobs, each with a whole node."""

    def test_a_busy_pilot_finishes_its_task_before_it_gives_way(self, stage: StandbyBench) -> None:
        tasks = [stage.submit(8) for _ in stage.pilots_on_all_nodes()]
        assert all(map(stage.is_warm, tasks))
        other = stage.submit(kind="stubborn-nap")
        for request in (*tasks, other):
            stage.until(request, JobState.DONE)
        assert stage.facts(other)["began"] >= min(stage.facts(task)["ended"] for task in tasks)

    def test_a_node_that_does_not_answer_costs_the_hedge_only(self, stage: StandbyBench, cluster: Cluster) -> None:
        pilot = stage.pilot()
        stage.standby.call(stage.crew, pilot)
        assert stage.standby.take_missed() == []
        node = cluster.command("squeue", "-h", "-j", pilot.batch_id, "-o", "%N").strip()
        daemon = cluster.daemon(f"slurmd-{node}")
        daemon.suspend()
        try:
            request = stage.submit()
            assert not stage.is_warm(request)
            (missed,) = stage.standby.take_missed()
            assert (missed.key, missed.why.partition(" --overlap")[0]) == (request.key, "srun")
            stage.until(request, JobState.DONE)
        finally:
            daemon.resume()
        assert stage.claims() == []
        until(lambda: stage.is_warm(stage.submit()), 60)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_hundred_kills_lose_and_repeat_nothing(tmp_path: Path, cluster: Cluster) -> None:
    def steps() -> list[psutil.Process]:
        return [one for one in psutil.process_iter(["name"]) if one.info["name"] == "slurmstepd"]

    def restart(kind: str, process: psutil.Process) -> None:
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
        if kind == "slurmctld":
            cluster.start_controller()
        elif kind == "slurmd":
            cluster.start_node("n1")

    victims = {
        "slurmctld": lambda: [cluster.daemon("slurmctld")],
        "slurmd": lambda: [cluster.daemon("slurmd-n1")],
        "slurmstepd": steps,
    }

    with administrator(cluster):
        run_kills(
            tmp_path, "slurm-generic", KILLS, "[standby.openmp]\npilots = 2\n", victims, restart, cluster.clear
        )  # fmt: skip


@contextmanager
def administrator(cluster: Cluster) -> Iterator[None]:
    """Take drained nodes into service again: a slurmctld that was killed may give a job ID twice, which drains one."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(5.0):
            with suppress(AssertionError):  # slurmctld is down
                for node in cluster.command("sinfo", "-h", "-N", "-p", "main", "-t", "drain", "-o", "%N").split():
                    cluster.command("scontrol", "update", f"nodename={node}", "state=resume")

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
