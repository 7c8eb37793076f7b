"""Steps of the system clock, which make nothing late or early, whenever the dispatcher notices them."""

from __future__ import annotations

import itertools

import pytest

from gwbatch.clock import GuardedClock
from gwbatch.dispatcher.clock_keeper import ClockKeeper
from gwbatch.dispatcher.watcher import JobWatcher
from gwbatch.ledger import Ledger, clock_steps, leases, timers
from gwbatch.model import JobState
from gwbatch.runtime import Runtime
from gwbatch.schedulers.simulated import Step
from tests.integration.harness import Harness

HOUR = 3600.0


class World:
    """A machine whose clock a test can set."""

    def __init__(self) -> None:
        self.since_boot, self.offset = 1000.0, 1.7e9

    def clock(self) -> GuardedClock:
        return GuardedClock(lambda: self.since_boot + self.offset, lambda: self.since_boot)


@pytest.fixture
def world() -> World:
    return World()


def acquire(ledger: Ledger, now: float) -> leases.Lease:
    with ledger.transaction() as tx:
        return leases.acquire(tx, "dispatcher", now)


def due(ledger: Ledger) -> float:
    return float(ledger.read("SELECT due FROM timers")[0]["due"])


def test_a_clock_that_is_slewed_is_followed_and_one_that_is_set_is_not(world: World) -> None:
    clock = world.clock()
    for _ in range(100):
        world.since_boot += 100.0
        world.offset += 0.05
        assert clock.now() == pytest.approx(world.since_boot + world.offset)
    assert clock.step() == 0.0
    before, steady = clock.now(), clock.steady()
    world.offset += HOUR
    world.since_boot += 1.0
    assert clock.now() == pytest.approx(before + 1.0)
    assert clock.steady() == steady + 1.0
    assert clock.step() == pytest.approx(HOUR)
    clock.accept(clock.step())
    assert clock.now() == pytest.approx(before + 1.0 + HOUR)
    assert clock.step() == pytest.approx(0.0)


def test_a_process_that_is_stopped_between_two_clocks_sees_no_step(world: World) -> None:
    stops = [0.0]

    def wall() -> float:
        told = world.since_boot + world.offset
        world.since_boot += stops.pop() if stops else 0.0
        return told

    clock = GuardedClock(wall, lambda: world.since_boot)
    stops.append(30.0)
    assert clock.step() == 0.0
    assert not stops


@pytest.mark.parametrize("step", [HOUR, -HOUR, 37.0, -2.0])
def test_timers_keep_their_distance(ledger: Ledger, world: World, step: float) -> None:
    clock = world.clock()
    keeper = ClockKeeper(ledger, acquire(ledger, clock.now()), clock)
    with ledger.transaction() as tx:
        timers.repeat(tx, "k", "topic", "general", 60.0, clock.now())
    left = due(ledger) - clock.now()
    world.offset += step
    assert keeper.step()
    assert not keeper.step()
    assert due(ledger) - clock.now() == pytest.approx(left)
    assert clock.now() == pytest.approx(world.since_boot + world.offset)
    ((at, by),) = clock_steps.noted_steps(ledger.connection)
    assert (at, by) == (pytest.approx(clock.now()), pytest.approx(step))


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_while_no_dispatcher_ran_is_noticed_by_the_next(ledger: Ledger, world: World, step: float) -> None:
    clock = world.clock()
    lease = acquire(ledger, clock.now())
    ClockKeeper(ledger, lease, clock)
    with ledger.transaction() as tx:
        timers.repeat(tx, "k", "topic", "general", 60.0, clock.now())
        leases.release(tx, lease)
    left = due(ledger) - clock.now()
    world.offset += step
    clock = world.clock()  # a new process
    lease = acquire(ledger, clock.now())
    ClockKeeper(ledger, lease, clock)
    assert due(ledger) - clock.now() == pytest.approx(left)
    with ledger.transaction() as tx:
        leases.release(tx, lease)
    clock = world.clock()
    ClockKeeper(ledger, acquire(ledger, clock.now()), clock)  # and only once
    assert due(ledger) - clock.now() == pytest.approx(left)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_dispatcher_that_is_killed_over_a_step_moves_all_or_nothing(
    ledger: Ledger, world: World, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = world.clock()
    lease = acquire(ledger, clock.now())
    keeper = ClockKeeper(ledger, lease, clock)
    with ledger.transaction() as tx:
        timers.repeat(tx, "k", "topic", "general", 60.0, clock.now())
    left = due(ledger) - clock.now()
    world.offset += step

    def killed(name: str) -> None:
        raise KeyboardInterrupt(name)

    with monkeypatch.context() as patch:
        patch.setattr("gwbatch.dispatcher.clock_keeper.hit", killed)
        with pytest.raises(KeyboardInterrupt):
            keeper.step()
    with ledger.transaction() as tx:
        leases.release(tx, lease)
    clock = world.clock()
    ClockKeeper(ledger, acquire(ledger, clock.now()), clock)
    assert due(ledger) - clock.now() == pytest.approx(left)


def test_after_a_reboot_nothing_can_be_known(ledger: Ledger, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = world.clock()
    lease = acquire(ledger, clock.now())
    ClockKeeper(ledger, lease, clock)
    with ledger.transaction() as tx:
        timers.repeat(tx, "k", "topic", "general", 60.0, clock.now())
        leases.release(tx, lease)
    then = due(ledger)
    monkeypatch.setattr(clock_steps, "_boot", lambda: "another")
    world.since_boot = 5.0
    clock = world.clock()
    ClockKeeper(ledger, acquire(ledger, clock.now()), clock)
    assert due(ledger) == then


@pytest.fixture
def guarded(harness: Harness, world: World) -> ClockKeeper:
    """Run the harness on the clock of `world`; its scripted batch system keeps a clock of its own."""
    world.offset = harness.clock.now() - world.since_boot
    clock = world.clock()
    harness.runtime = Runtime(
        harness.ledger, harness.registry, harness.policy, harness.profile, harness.folder, clock, harness.lease,
        lambda: harness.scheduler, harness.runtime.gracedb,
    )  # fmt: skip
    harness.watcher = JobWatcher(harness.runtime)
    return ClockKeeper(harness.ledger, harness.lease, clock)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_no_job_is_overdue_for_a_step_and_those_that_hang_are_found_in_time(
    harness: Harness, world: World, guarded: ClockKeeper, step: float
) -> None:
    harness.scheduler.script = lambda request: (Step(0, JobState.QUEUED), Step(1e6, JobState.DONE))
    graceid = harness.upload()
    harness.settle(1.0)
    world.offset += step
    harness.watcher.step()  # before the step is noticed
    guarded.step()
    for _ in range(10):
        world.since_boot += 5.0
        harness.step()
    submitted = [key for key in harness.scheduler.submissions if key.startswith(f"{graceid}/localize")]
    assert submitted == [f"{graceid}/localize/1"]
    for _ in range(30):  # the queue's deadline is 100 s
        world.since_boot += 5.0
        harness.step()
    submitted = [key for key in harness.scheduler.submissions if key.startswith(f"{graceid}/localize")]
    assert f"{graceid}/localize/2" in submitted


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_effects_that_wait_are_tried_again_in_time(ledger: Ledger, world: World, step: float) -> None:
    clock = world.clock()
    keeper = ClockKeeper(ledger, acquire(ledger, clock.now()), clock)
    now = clock.now()
    rows = itertools.product(("ready", "running", "done"), (0.0, now + 30.0))
    with ledger.transaction() as tx:
        for number, (state, not_before) in enumerate(rows):
            tx.execute(
                "INSERT INTO effects (key, kind, subject, args, state, not_before, created) "
                "VALUES (?, 'k', 's', '{}', ?, ?, ?)",
                (f"e{number}", state, not_before, now),
            )
    world.offset += step
    keeper.step()
    found = {row["key"]: dict(row) for row in ledger.read("SELECT * FROM effects")}
    assert [found[f"e{number}"]["not_before"] - now for number in (1, 3)] == pytest.approx([30.0 + step] * 2)
    assert [found[f"e{number}"]["not_before"] for number in (0, 2, 4)] == [0.0, 0.0, 0.0]
    assert found["e5"]["not_before"] == now + 30.0  # it is done
    assert found["e1"]["created"] == pytest.approx(now + step)
    assert found["e5"]["created"] == now
