"""The number of pilots, which depends on the policy, orders and failures, with a scripted batch system."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gwbatch.cli import cli
from gwbatch.config.limits import Limits
from gwbatch.config.profile import SchedulerSettings, load_site
from gwbatch.config.standby import StandbyPolicy
from gwbatch.dispatcher.standby import StandbyKeeper
from gwbatch.jobs.standby.layout import Beat, Task, pilot_name, task_name
from gwbatch.ledger import in_force, standby
from gwbatch.model import JobRequest, JobState
from gwbatch.reports.health import findings
from gwbatch.reports.status import report
from gwbatch.schedulers.local import LocalScheduler
from gwbatch.schedulers.simulated import SimulatedScheduler, Step
from gwbatch.schedulers.slurm.bell import SrunBell
from gwbatch.schedulers.standby import Bell, Crew, StandbyFolder, StandbyScheduler
from tests.integration.harness import Harness

ENDLESS = (Step(0, JobState.QUEUED), Step(5, JobState.RUNNING))
BROKEN = (Step(0, JobState.QUEUED), Step(5, JobState.FAILED, "exit code 2"))


class Yard:
    """A keeper whose pilots are jobs of a scripted batch system and report what a test makes them report."""

    def __init__(self, harness: Harness, folder: Path) -> None:
        self.harness = harness
        self.batch = SimulatedScheduler(harness.clock, lambda request: ENDLESS)
        self.folder = StandbyFolder(folder / "desk", lambda: harness.clock.now())
        crew = Crew("openmp", self.folder, "folder", None, frozenset(["localize"]), 0.05, 5.0, self.batch)
        self.scheduler = StandbyScheduler(self.batch, [crew])
        profile = load_site("local", ['standby.openmp.kinds=["localize"]', "standby.openmp.lifetime=3600"]).profile
        self.runtime = replace(harness.runtime, profile=profile)
        self.keep(StandbyPolicy())
        with harness.ledger.transaction() as tx:
            in_force.record(tx, self.runtime.policy, profile, harness.clock.now())

    def ring(self, bell: Bell) -> None:
        """Announce tasks with this bell from now on."""
        self.scheduler.crews["openmp"] = replace(self.scheduler.crews["openmp"], bell=bell, hedge=20.0)

    def keep(self, policy: StandbyPolicy) -> None:
        """Follow this policy from now on, with a new keeper as after a restart."""
        changed = msgspec.structs.replace(self.runtime.policy, standby={"openmp": policy})
        self.runtime = replace(self.runtime, policy=changed)
        self.keeper = StandbyKeeper(self.runtime, self.scheduler)

    def step(self, seconds: float = 1.0) -> None:
        self.harness.clock.advance(seconds)
        self.keeper._next = float("-inf")
        self.scheduler._looked = float("-inf")
        self.keeper.step()

    def beat(self, key: str, idle: float = 1.0, room: int = 1) -> str:
        """Write the heartbeat of a pilot and return the pilot's name."""
        now = self.harness.clock.now()
        name = pilot_name(key, 1.7e9)
        beat = Beat(name, key, int(now * 1000), {}, room, False, "n1", 1, 4, now, idle, 0.0, 0)
        (self.folder.path / "pilots" / f"{name}.json").write_bytes(msgspec.json.encode(beat))
        return name

    @property
    def leaving(self) -> list[str]:
        return list(json.loads((self.folder.path / "orders.json").read_text())["leave"])

    @property
    def beats(self) -> int:
        return int(json.loads((self.folder.path / "orders.json").read_text())["beat"])

    def pilots(self) -> list[str]:
        return [one.key for one in standby.open_pilots(self.harness.ledger.connection)]


@pytest.fixture
def yard(harness: Harness, tmp_path: Path) -> Yard:
    return Yard(harness, tmp_path)


def test_nothing_is_held_unless_asked(yard: Yard) -> None:
    yard.step()
    assert yard.batch.submissions == []
    assert yard.leaving == []


def test_as_many_as_the_policy_wants(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=2))
    for _ in range(5):
        yard.step()
    assert yard.batch.submissions == ["standby/openmp/1", "standby/openmp/2"]
    for key in yard.pilots():
        yard.beat(key)
    yard.step(10)
    found = standby.overview(yard.harness.ledger.connection, yard.harness.clock.now())["openmp"]
    assert (found["wanted"], found["pilots"], found["ready"]) == (2, 2, 2)
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    assert yard.leaving == ["standby/openmp/2"]


def test_a_dispatcher_killed_between_plan_and_submission_asks_for_one(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=1))
    with yard.harness.ledger.transaction() as tx:
        standby.request_pilot(tx, "openmp", str(yard.harness.folder / "jobs"), yard.harness.clock.now())
    yard.step()
    yard.step()
    assert yard.batch.submissions == ["standby/openmp/1"]


def test_a_lost_reply_asks_for_no_second_one(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=1))
    yard.batch.lose_replies = 1
    for _ in range(4):
        yard.step()
    assert yard.batch.submissions == ["standby/openmp/1"]
    (pilot,) = standby.open_pilots(yard.harness.ledger.connection)
    assert pilot.native_id


def test_an_order_counts_until_its_time_is_over(yard: Yard) -> None:
    with yard.harness.ledger.transaction() as tx:
        standby.order(tx, "openmp", 1, yard.harness.clock.now() + 60, "someone", yard.harness.clock.now())
    yard.step()
    assert yard.pilots() == ["standby/openmp/1"]
    yard.beat("standby/openmp/1")
    yard.step(120)
    assert yard.leaving == ["standby/openmp/1"]


def test_pilots_that_break_are_asked_for_more_and_more_rarely_and_told(yard: Yard) -> None:
    yard.batch.script = lambda request: BROKEN
    yard.keep(StandbyPolicy(pilots=1))
    for _ in range(600):
        yard.step()
    assert 3 <= len(yard.batch.submissions) <= 8
    (finding,) = [one for one in wrong(yard) if one.key == "standby openmp"]
    assert "ended before they were ready: exit code 2" in finding.text
    assert "stderr" in finding.text


def test_too_few_for_long_is_told(yard: Yard) -> None:
    yard.batch.script = lambda request: (Step(0, JobState.QUEUED),)
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    assert not [one for one in wrong(yard) if one.key == "standby openmp"]
    yard.step(1000)
    (finding,) = [one for one in wrong(yard) if one.key == "standby openmp"]
    assert "0 of 1 pilots" in finding.text


def test_a_successor_comes_before_the_old_one_leaves(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(6)
    yard.beat("standby/openmp/1")
    yard.step()
    yard.step(3500)
    yard.beat("standby/openmp/1", 2.0)
    yard.step()
    assert yard.pilots() == ["standby/openmp/1", "standby/openmp/2"]
    assert yard.leaving == []
    yard.step(6)
    yard.beat("standby/openmp/2")
    yard.step()
    yard.step()
    assert yard.leaving == ["standby/openmp/1"]


def test_a_job_goes_cold_while_all_pilots_are_busy(yard: Yard, tmp_path: Path) -> None:
    yard.beat("standby/openmp/1", room=0)
    request = JobRequest("G1/localize/1", "localize", "openmp", tmp_path)
    assert not yard.scheduler.submit(request).startswith("standby")
    assert list((yard.folder.path / "inbox").iterdir()) == []


def srun(folder: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> SrunBell:
    """Return the real bell, with an srun on PATH that ends as given."""
    command = folder / "bin" / "srun"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/sh\n{ends}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    return SrunBell(SchedulerSettings())


def test_pilots_that_cannot_be_reached_are_told(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bell = srun(tmp_path, monkeypatch, "echo 'srun: error: Unable to create step for job 7: Access denied' >&2; exit 1")
    yard.ring(bell)
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.beat("standby/openmp/1")
    yard.step()  # the keeper calls a pilot as soon as it is ready
    yard.step()
    (finding,) = [one for one in wrong(yard) if one.key == "standby openmp missed"]
    assert "openmp jobs: 1, the last for standby/openmp/1: srun --overlap failed with exit code 1: " in finding.text
    assert finding.text.endswith("Access denied")
    request = JobRequest("G1/localize/1", "localize", "openmp", tmp_path)
    assert not yard.scheduler.submit(request).startswith("standby")
    yard.step()
    (finding,) = [one for one in wrong(yard) if one.key == "standby openmp missed"]
    assert "openmp jobs: 2, the last for G1/localize/1: " in finding.text
    assert standby.overview(yard.harness.ledger.connection, yard.harness.clock.now())["openmp"]["missed"] == 2
    yard.step(Limits().recent + 10)
    assert not [one for one in wrong(yard) if one.key == "standby openmp missed"]


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ("exit 0", ""),
        ("exit 3", ""),  # it answered but did not take the task
        ("sleep 60 & exit 7", "srun --overlap failed with exit code 7: no explanation"),  # it leaves a process behind
        ("exit 7", "srun --overlap failed with exit code 7: no explanation"),
        ("exec sleep 60", "srun --overlap has not reached it within 0.2 s"),
        ("", "srun cannot be started"),
    ],
)
def test_why_a_pilot_was_not_reached(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, why: str
) -> None:
    bell = srun(tmp_path, monkeypatch, ends)
    if not ends:
        (tmp_path / "bin" / "srun").unlink()
        monkeypatch.setenv("PATH", str(tmp_path))
    yard.beat("standby/openmp/1")
    (pilot,) = yard.folder.look()
    told = bell.ring(pilot, "task", 0.2 if "sleep" in ends else 20.0)
    assert told.startswith(why)
    assert bool(told) == bool(why)


def test_a_pilot_that_cannot_be_reached_does_not_keep_the_job_from_the_next_one(yard: Yard, tmp_path: Path) -> None:
    dead, alive = yard.beat("standby/openmp/1", room=2), yard.beat("standby/openmp/2")

    class OneAnswers:
        def ring(self, pilot: Beat, name: str, seconds: float) -> str:
            if pilot.pilot == dead:
                return "it does not answer"
            (yard.folder.path / "inbox" / name).rename(yard.folder.path / "taken" / f"{name}.{alive}")
            return ""

    yard.ring(OneAnswers())
    request = JobRequest("G1/localize/1", "localize", "openmp", tmp_path)
    assert yard.scheduler.submit(request) == f"standby {alive}"
    assert yard.scheduler.take_missed() == []


def test_a_pilot_that_has_just_begun_its_task_is_not_missed(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat, which still offers room, is older than its claim."""
    yard.ring(srun(tmp_path, monkeypatch, "exit 3"))
    pilot = yard.beat("standby/openmp/1")
    task = Task("G1/localize/1", "localize", str(tmp_path), [], [], 0)
    name = task_name(task.key)
    yard.folder.offer(name, task)
    (yard.folder.path / "inbox" / name).rename(yard.folder.path / "taken" / f"{name}.{pilot}")
    yard.scheduler.submit(JobRequest("G2/localize/1", "localize", "openmp", tmp_path))
    assert yard.scheduler.take_missed() == []


def test_pilots_here_and_pilots_on_the_cluster_are_not_mistaken_for_each_other(yard: Yard, tmp_path: Path) -> None:
    here = LocalScheduler(tmp_path / "here", 1, waiters=True)
    folder = StandbyFolder(tmp_path / "light", lambda: yard.harness.clock.now())
    light = Crew("general", folder, "folder", None, frozenset(["em-bright"]), 0.05, 5.0, here)
    scheduler = StandbyScheduler(yard.batch, [yard.scheduler.crews["openmp"], light])
    request = JobRequest("standby/openmp/1", "standby", "openmp", tmp_path)
    yard.batch.submit(request)
    yard.harness.clock.advance(6)
    reports = scheduler.poll_pilots(["standby/openmp/1", "standby/general/1"])
    assert reports["standby/openmp/1"].state is JobState.RUNNING
    assert reports["standby/general/1"].state is JobState.LOST  # this machine never had it


def test_a_pilot_that_waits_or_hangs_is_cancelled_and_one_that_nobody_counts_leaves(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=2))
    yard.step()
    yard.step(6)
    yard.beat("standby/openmp/1")
    yard.beat("standby/openmp/9")  # from an earlier ledger
    yard.step()
    assert yard.leaving == ["standby/openmp/9"]
    for _ in range(5):
        yard.step(100)
        yard.beat("standby/openmp/1")
    assert "standby/openmp/2" not in yard.pilots()  # it never sent a heartbeat
    yard.batch.script = lambda request: (Step(0, JobState.QUEUED),)
    yard.keep(StandbyPolicy(pilots=3))
    yard.step()
    assert len(yard.pilots()) == 2
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    assert yard.pilots() == ["standby/openmp/1"]
    assert standby.failures_in_a_row(yard.harness.ledger.connection, "openmp") == (0, 0.0)


def test_a_pilot_that_other_work_evicts_is_replaced(yard: Yard) -> None:
    """Its job is back in the queue; the next one counts its own times, and no eviction counts as a failure."""
    evicted = (*ENDLESS, Step(100, JobState.QUEUED, "evicted from n1"))
    yard.batch.script = lambda request: evicted if request.key.endswith("/1") else ENDLESS
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(10)
    yard.beat("standby/openmp/1")
    yard.step(90)
    yard.beat("standby/openmp/1", idle=90.0)
    yard.step()
    assert yard.pilots() == ["standby/openmp/1"], "a pilot with a heartbeat counts, whatever the batch system says"
    for _ in range(3):
        yard.step(4)
    assert yard.pilots() == ["standby/openmp/2"]
    assert yard.batch.poll(["standby/openmp/1"])["standby/openmp/1"].state is JobState.CANCELLED
    assert standby.failures_in_a_row(yard.harness.ledger.connection, "openmp")[0] == 0
    costs = standby.costs(yard.harness.ledger.connection, "openmp", 0.0, yard.harness.clock.now())
    assert costs["held"] == pytest.approx(100, abs=12)


def test_the_task_of_an_evicted_pilot_is_free_after_three_seconds(yard: Yard, tmp_path: Path) -> None:
    yard.batch.script = lambda request: (*ENDLESS, Step(100, JobState.QUEUED, "evicted from n1"))
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(99)
    pilot = yard.beat("standby/openmp/1")
    task = Task("G1/localize/1", "localize", str(tmp_path), [], [], 0)
    name = task_name(task.key)
    yard.folder.offer(name, task)
    (yard.folder.path / "inbox" / name).rename(yard.folder.path / "taken" / f"{name}.{pilot}")
    yard.step(0.5)
    assert yard.scheduler.find([task.key])[task.key].state is JobState.RUNNING
    yard.step(2)
    assert yard.scheduler.poll([task.key])[task.key].state is JobState.RUNNING
    yard.step(2)
    report = yard.scheduler.poll([task.key])[task.key]
    assert (report.state, report.reason) == (JobState.FAILED, "its pilot has ended (evicted from n1)")


def test_a_pilot_is_not_cancelled_because_the_batch_system_is_silent(yard: Yard) -> None:
    yard.batch.script = lambda request: (*ENDLESS, Step(10, JobState.UNKNOWN, "slurmctld does not answer"))
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(6)
    yard.beat("standby/openmp/1")
    yard.step()
    yard.step(10)
    (pilot,) = standby.open_pilots(yard.harness.ledger.connection)
    assert pilot.state == JobState.UNKNOWN
    yard.beat(pilot.key)
    yard.keep(StandbyPolicy())
    for _ in range(3):
        yard.step()
    assert yard.pilots() == ["standby/openmp/1"]
    assert yard.leaving == ["standby/openmp/1"]  # it is asked to leave and may finish what it has begun


def test_a_pilot_that_cannot_be_submitted_drives_nobody_away(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(6)
    yard.beat("standby/openmp/1")
    yard.step()
    yard.batch.reachable = False
    yard.keep(StandbyPolicy(pilots=2))
    before = yard.beats
    for _ in range(5):
        yard.step()
    assert yard.beats >= before + 5
    yard.batch.reachable = True
    yard.step(60)
    yard.step(60)
    assert len(yard.batch.submissions) == 2


def test_the_batch_systems_own_name_of_a_node_counts(yard: Yard, tmp_path: Path) -> None:
    """A node may call itself something else, and a job that avoids an unknown node could not be submitted at all."""
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    yard.step(10)
    pilot = yard.beat("standby/openmp/1")
    yard.step(1)
    task = Task("G1/localize/1", "localize", str(tmp_path), [], [], 0)
    name = task_name(task.key)
    yard.folder.offer(name, task)
    (yard.folder.path / "inbox" / name).rename(yard.folder.path / "taken" / f"{name}.{pilot}")
    assert yard.scheduler.find([task.key])[task.key].host == "simulated"
    again = JobRequest("G1/localize/2", "localize", "openmp", tmp_path, avoid=("simulated",))
    assert not yard.scheduler._free(yard.scheduler.crews["openmp"], again)


def test_a_retry_avoids_the_pilot_of_the_bad_node_and_an_unsure_one_goes_the_way_it_went(
    yard: Yard, tmp_path: Path
) -> None:
    yard.beat("standby/openmp/1")
    job = JobRequest("G1/localize/2", "localize", "openmp", tmp_path, avoid=("n1.cluster",))
    free = yard.scheduler._free(yard.scheduler.crews["openmp"], job)
    assert free == []
    assert yard.scheduler._free(yard.scheduler.crews["openmp"], replace(job, avoid=()))
    assert yard.scheduler.find([job.key]) == {}
    assert not yard.scheduler.submit(replace(job, avoid=())).startswith("standby")


# ---- the commands -----------------------------------------------------------------------------------------------


def test_people_order_and_look(yard: Yard) -> None:
    yard.keep(StandbyPolicy(pilots=1))
    yard.step()
    assert "0 of 1 pilots ready (the policy always wants them)" in run(yard, "list")
    assert "2 pilots are ordered for openmp jobs until" in run(yard, "set", "2", "--for", "3h")
    order = standby.ordered(yard.harness.ledger.connection, "openmp", 0.0)
    assert order is not None
    assert order["pilots"] == 2
    found = json.loads(run(yard, "list", "--json"))
    assert found["queues"]["openmp"]["wanted"] == 1
    assert found["pilots"][0]["key"] == "standby/openmp/1"
    assert "The policy decides again" in run(yard, "clear")
    assert "Nothing was ordered" in run(yard, "clear")
    told = json.loads(run(yard, "report", "--json"))
    assert told["warm"] == {"n": 0, "median_start": None}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "1", "--for", "soon"], "is not a duration"),
        (["set", "-1"], "-1"),
        (["set", "1", "--queue", "general"], "has no [standby.general]"),
    ],
)
def test_orders_that_cannot_be_meant_are_refused(yard: Yard, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(cli, ["standby", *arguments, "--state", str(state(yard))])
    assert result.exit_code != 0
    assert words in result.output + str(result.exception)


def wrong(yard: Yard) -> list[Any]:
    now = yard.harness.clock.now()
    return findings(yard.harness.ledger, report(yard.harness.ledger, now), Limits())


def state(yard: Yard) -> Path:
    assert yard.harness.ledger.path is not None
    return yard.harness.ledger.path.parent


def run(yard: Yard, *arguments: str) -> str:
    result = CliRunner().invoke(cli, ["standby", *arguments, "--state", str(state(yard))])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output
