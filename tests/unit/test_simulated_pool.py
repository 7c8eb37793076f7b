"""The simulated pool: no node ever has two jobs, every job ends, and the accounting is right."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gwbatch.clock import ManualClock
from gwbatch.model import JobRequest, JobState
from gwbatch.simulation.pool import PoolScheduler, drawing
from gwbatch.simulation.scenario import Pool, Seconds

times = st.builds(Seconds, st.floats(0.1, 60.0), st.floats(1.0, 3.0))
pools = st.builds(
    Pool, nodes=st.integers(1, 4), slots=st.integers(0, 3), start=times, start_others=times, run_others=times,
    load=st.sampled_from([0.0, 0.3, 0.8]), load_length=st.floats(1.0, 100.0),
    preempted=st.sampled_from([0.0, 30.0]),
)  # fmt: skip
submissions = st.lists(st.tuples(st.floats(0.0, 50.0), st.booleans(), st.integers(0, 3)), max_size=12)


@given(pools, submissions, st.integers())
def test_every_job_ends_and_no_node_has_two(pool: Pool, jobs: list[tuple[float, bool, int]], seed: int) -> None:
    clock, ended = ManualClock(0.0), dict[str, tuple[float, float]]()
    made = PoolScheduler(pool, clock, random.Random(seed), lambda request, *times: ended.update({request.key: times}))
    submitted = {}
    for number, (after, whole, priority) in enumerate(jobs):
        clock.advance(after)
        queue = "openmp" if whole else "general"
        made.submit(JobRequest(f"{number}", "localize", queue, Path(), priority=priority))
        submitted[f"{number}"] = clock.now()
    running: dict[str, set[str]] = {}
    for _ in range(100_000):
        moment = made.next_moment()
        if moment is None:
            break
        clock.advance(max(0.0, moment - clock.now()))
        reports = made.poll(list(submitted))
        running = {}
        for key, report in reports.items():
            if report.state is JobState.RUNNING and report.host.startswith("node"):
                running.setdefault(report.host, set()).add(key)
        assert all(len(keys) == 1 for keys in running.values())
        assert len(running) <= pool.nodes
        assert made.history[-1].running <= pool.nodes
        assert made.history[-1].waiting >= 0
    assert ended.keys() == submitted.keys()
    assert all(submitted[key] <= started <= finished for key, (started, finished) in ended.items())
    spent = sum(ended[key][1] - ended[key][0] for key in ended if jobs[int(key)][1])
    assert made.node_seconds >= spent - 1e-6
    assert pool.preempted or abs(made.node_seconds - spent) < 1e-6
    assert (made.history[-1].waiting, made.history[-1].running) == (0, 0) if submitted else not made.history


def test_other_jobs_take_nodes_if_there_are_no_slots_for_them() -> None:
    """One that is more urgent than a waiting whole-node job goes first, as the batch systems have it."""
    clock = ManualClock(0.0)
    pool = Pool(nodes=1, slots=0, start=Seconds(1.0), start_others=Seconds(1.0), run_others=Seconds(10.0), run={})
    made = PoolScheduler(pool, clock, random.Random(1), lambda *_: None)
    for key, queue, priority in (("first", "openmp", 1100), ("second", "openmp", 1100), ("urgent", "general", 1200)):
        made.submit(JobRequest(key, "any", queue, Path(), priority=priority))
    clock.advance(100.0)
    started = {key: report.started for key, report in made.poll(["first", "second", "urgent"]).items()}
    assert started == {"first": 1.0, "urgent": 11.0, "second": 21.0}
    assert made.node_seconds == 20.0


def test_a_job_that_is_cancelled_gives_its_node_back() -> None:
    clock = ManualClock(0.0)
    pool = Pool(nodes=1, start=Seconds(1.0), run_others=Seconds(10.0), run={})
    made = PoolScheduler(pool, clock, random.Random(1), lambda *_: None)
    for key in ("a", "b", "c"):
        made.submit(JobRequest(key, "any", "openmp", Path()))
    clock.advance(5.0)
    assert made.poll(["a"])["a"].state is JobState.RUNNING
    made.cancel("a")
    made.cancel("c")
    clock.advance(100.0)
    states = [report.state for report in made.poll(["a", "b", "c"]).values()]
    assert states == [JobState.CANCELLED, JobState.DONE, JobState.CANCELLED]
    assert (made.node_seconds, made.history[-1].waiting) == (14.0, 0)


def test_what_was_measured_is_drawn_from() -> None:
    draw = drawing(random.Random(1))
    assert {draw(Seconds(measured=[3.0, 5.0])) for _ in range(50)} == {3.0, 5.0}
    assert draw(Seconds(7.0)) == 7.0
    many = sorted(draw(Seconds(10.0, 2.0)) for _ in range(4001))
    assert abs(many[2000] / 10.0 - 1) < 0.1
    assert abs(many[int(4001 * 0.841)] / 20.0 - 1) < 0.1
