"""The dealer of a campaign: which node gets which event, and how outcomes are interpreted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gwbatch.campaigns.dealer import FAILURES_IN_A_ROW, LONG, SPARE, Dealer
from gwbatch.campaigns.estimate import Estimate
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.table import ATTEMPTS, INTERRUPTIONS, NodeFacts, Table
from gwbatch.campaigns.tasks import How, Outcome, Task
from gwbatch.errors import LeaseLost
from tests.campaign_products import SLEEP, results, sleepers


def dealer_of(folder: Folder) -> tuple[Dealer, Table]:
    table = Table(folder.table, 1)
    return Dealer(table, [SLEEP]), table


def outcome(task: Task, how: How = "done", reason: str = "") -> Outcome:
    facts = {SLEEP: {"value": task.id**2}} if how == "done" else {}
    return Outcome(task.id, how, reason, facts, 1.0, 1.0, 10.0, "host")


def take(dealer: Dealer, node: str) -> Task:
    task = dealer.take(node)
    assert task is not None
    return task


def test_the_longest_come_first(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [1, 5, 3, 4, 2]))
    dealer.join("a", 5)
    assert [take(dealer, "a").id for _ in range(5)] == [1, 3, 2, 4, 0]


def test_a_node_holds_some_in_reserve_but_none_near_the_end(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [1.0] * 20))
    dealer.join("a", 2)
    held = []
    while (task := dealer.take("a")) is not None:
        held.append(task)
    assert len(held) == 2 + SPARE
    dealer.join("b", 6)
    while (task := dealer.take("b")) is not None:
        held.append(task)
    assert dealer.left == 20 - len(held)
    for task in held[:4]:
        dealer.settle("a", outcome(task))
    while dealer.take("a") is not None:
        pass
    assert dealer.in_hand <= 2 + 6 + 2 * SPARE


def test_fewer_events_than_processes_are_spread_and_have_more_threads(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [40.0] * 5))
    dealer.join("a", 8)
    dealer.join("b", 4)
    held = {node: [] for node in "ab"}  # type: dict[str, list[Task]]
    for node, tasks in held.items():
        while (task := dealer.take(node)) is not None:
            tasks.append(task)
    assert {node: [task.shares for task in tasks] for node, tasks in held.items()} == {"a": [2] * 4, "b": [2]}
    for node, tasks in held.items():
        for task in tasks:
            dealer.settle(node, outcome(task))
    assert dealer.is_over


def test_the_last_of_many_events_has_all_threads_if_that_is_worth_a_new_process(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [LONG, *[LONG / 2] * 3]))
    dealer.join("a", 4)
    first, *others = (take(dealer, "a") for _ in range(4))
    for task in (first, *others):
        assert task.shares == 1
    for task in others:
        dealer.settle("a", outcome(task))
    dealer.settle("a", outcome(first, "failed", "once"))
    again = take(dealer, "a")
    assert (again.id, again.shares) == (first.id, 4)
    dealer.settle("a", outcome(again))
    assert dealer.is_over


def test_a_failed_event_is_tried_again_the_last_time_alone_then_set_aside(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0, 2.0])
    dealer, _ = dealer_of(folder)
    dealer.join("a", 2)
    first = take(dealer, "a")
    dealer.settle("a", outcome(first, "died", "killed by SIGSEGV"))
    assert take(dealer, "a").id == first.id
    dealer.settle("a", outcome(first, "failed", "again"))
    other = take(dealer, "a")
    assert other.id != first.id
    assert dealer.take("a") is None  # the last attempt must run alone
    dealer.settle("a", outcome(other))
    alone = take(dealer, "a")
    assert alone.id == first.id
    assert alone.alone
    dealer.settle("a", outcome(alone, "died", "killed by SIGKILL"))
    assert dealer.is_over
    assert dealer.set_aside == 1
    dealer.commit(now=True)
    states = {event: state for event, state, _ in results(folder)}
    assert states == {first.id: "set aside", other.id: "done"}


def test_bad_input_is_set_aside_at_once(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [1.0]))
    dealer.join("a", 1)
    dealer.settle("a", outcome(take(dealer, "a"), "bad-input", "no PSD"))
    assert dealer.is_over
    assert dealer.set_aside == 1


def test_an_answer_about_what_a_node_does_not_have_counts_for_nothing(tmp_path: Path) -> None:
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [1.0, 1.0]))
    dealer.join("a", 1)
    dealer.join("b", 1)
    task = take(dealer, "a")
    dealer.settle("b", outcome(task))
    dealer.settle("a", outcome(task))
    dealer.settle("a", outcome(task))
    assert dealer.done == 1


def test_a_node_that_fails_everything_is_at_fault_and_its_failures_do_not_count(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0] * 60)
    dealer, table = dealer_of(folder)
    dealer.join("good", 1)
    dealer.join("bad", 1)
    dealer.settle("good", outcome(take(dealer, "good")))
    for _ in range(FAILURES_IN_A_ROW):
        dealer.settle("bad", outcome(take(dealer, "bad"), "failed", "no such file: /scratch"))
    assert dealer.take("bad") is None
    while (task := dealer.take("good")) is not None:
        dealer.settle("good", outcome(task))
    assert dealer.is_over
    dealer.commit(now=True)
    assert {state for _, state, _ in results(folder)} == {"done"}
    assert "/scratch" in str(table.nodes()["bad"].at_fault)


def test_nodes_of_earlier_runs_are_no_witnesses(tmp_path: Path) -> None:
    """Forty events that no node can process are set aside, although a node of an earlier run succeeded."""
    folder = sleepers(tmp_path / "c", [1.0] * 40)
    table = Table(folder.table, 1)
    table.write({}, [], {"old": NodeFacts(events=5)})
    dealer = Dealer(table, [SLEEP])
    dealer.join("a", 1)
    while not dealer.is_over:
        dealer.settle("a", outcome(take(dealer, "a"), "failed", "always"))
    assert dealer.set_aside == 40


def test_a_node_alone_is_never_at_fault(tmp_path: Path) -> None:
    """When no other node succeeds, the events themselves may be at fault."""
    dealer, _ = dealer_of(sleepers(tmp_path / "c", [1.0] * 10))
    dealer.join("a", 1)
    while not dealer.is_over:
        dealer.settle("a", outcome(take(dealer, "a"), "failed", "always"))
    assert dealer.set_aside == 10
    assert not dealer.is_stuck


def test_what_a_lost_node_had_goes_elsewhere_and_in_the_end_alone(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0])
    dealer, _ = dealer_of(folder)
    for number in range(INTERRUPTIONS):
        node = f"n{number}"
        dealer.join(node, 1)
        assert not take(dealer, node).alone
        dealer.lost(node)
    dealer.join("last", 4)
    task = take(dealer, "last")
    assert task.alone
    dealer.settle("last", outcome(task))
    assert dealer.is_over


def test_what_was_in_hand_when_the_owner_was_killed_waits_again(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0, 2.0, 3.0])
    dealer, table = dealer_of(folder)
    dealer.join("a", 2)
    dealer.settle("a", outcome(take(dealer, "a")))
    take(dealer, "a")
    dealer.commit(now=True)
    table.close()
    later = Table(folder.table, 2)
    later.interrupted()
    assert [event for event, _, _ in later.waiting()] == [1, 0]


def test_an_owner_that_was_replaced_writes_nothing(tmp_path: Path) -> None:
    folder = sleepers(tmp_path / "c", [1.0])
    dealer, _ = dealer_of(folder)
    dealer.join("a", 1)
    dealer.settle("a", outcome(take(dealer, "a")))
    Table(folder.table, 2)
    with pytest.raises(LeaseLost, match="taken over"):
        dealer.commit(now=True)
    assert results(folder) == [(0, "waiting", {})]


@given(st.lists(st.sampled_from(["done", "failed", "died", "bad-input", "stopped"]), max_size=60), st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_happens_every_event_ends_once(
    tmp_path_factory: pytest.TempPathFactory, fates: list[How], data: st.DataObject
) -> None:
    """Every event ends exactly once: it is done, or set aside after at most three failures."""
    folder = sleepers(tmp_path_factory.mktemp("c") / "c", [float(n) for n in range(1, 8)])
    dealer, table = dealer_of(folder)
    failures = dict.fromkeys(range(7), 0)
    ended: set[int] = set()
    dealer.join("a", 2)
    dealer.join("b", 3)
    todo = list(fates)
    held: dict[str, list[Task]] = {"a": [], "b": []}
    while not dealer.is_over:
        for node, tasks in held.items():
            while (task := dealer.take(node)) is not None:
                assert task.id not in ended
                assert not (task.alone and tasks)
                tasks.append(task)
        node = data.draw(st.sampled_from([name for name, tasks in held.items() if tasks]))
        task = held[node].pop()
        how = todo.pop() if todo else "done"
        failures[task.id] += how in ("failed", "died")
        if how in ("done", "bad-input") or failures[task.id] >= ATTEMPTS:
            ended.add(task.id)
        dealer.settle(node, outcome(task, how))
        dealer.commit(now=True)
    assert ended == set(range(7))
    assert {state for _, state, _ in results(folder)} <= {"done", "set aside"}
    assert dealer.done + dealer.set_aside == 7
    table.close()


def test_the_time_left_goes_by_what_events_of_the_same_detectors_took() -> None:
    estimate = Estimate([("H1,L1", 10.0)] * 10 + [("H1,L1,V1", 40.0)] * 10)
    assert estimate.seconds(2) is None
    estimate.measured("H1,L1", 10.0, 20.0)
    assert estimate.seconds(2) == pytest.approx((9 * 20 + 400 * 2) / 2)
    estimate.measured("H1,L1,V1", 40.0, 40.0)
    assert estimate.seconds(2) == pytest.approx((9 * 20 + 9 * 40) / 2)
    estimate.given_up("H1,L1,V1", 40.0)
    assert estimate.seconds(1) == pytest.approx(9 * 20 + 8 * 40)
