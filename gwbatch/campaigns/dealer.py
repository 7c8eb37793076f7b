"""The dealer, which assigns events to nodes and interprets outcomes.  It never waits, and does not transport tasks."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from gwbatch.campaigns.estimate import Estimate
from gwbatch.campaigns.table import (
    ATTEMPTS,
    DONE,
    SET_ASIDE,
    WAITING,
    NodeFacts,
    Settled,
    Table,
    is_dangerous,
    judged,
)
from gwbatch.campaigns.tasks import Outcome, Task

FAILURES_IN_A_ROW = 20  # on one node while other nodes succeed: the node is at fault
SPARE = 2  # tasks that a node holds beyond its processes, so that no process waits for its next task
LONG = 10.0  # predicted s from which more threads are worth the start of another process
COMMIT_EVERY, COMMIT_AFTER = 0.2, 100  # s, rows
FETCHED = 200  # rows at a time


@dataclass
class Entry:
    """A task that a node holds or that is ready to be dealt, with its history."""

    task: Task
    attempts: int
    interruptions: int

    @property
    def is_dangerous(self) -> bool:
        return is_dangerous(self.attempts, self.interruptions)


@dataclass
class _Node:
    facts: NodeFacts
    size: int = 0
    done: int = 0  # in this run
    has: dict[int, Entry] = field(default_factory=dict)
    failed: list[Entry] = field(default_factory=list)  # the latest failures in a row

    @property
    def is_at_fault(self) -> bool:
        return self.facts.at_fault is not None


class Dealer:
    """The dealer of waiting events, longest first, which also settles their outcomes.

    Parameters
    ----------
    products : list of str
        Products to make for each event.
    only : iterable of int, optional
        Deal only these events, whatever their state.
    """

    def __init__(
        self,
        table: Table,
        products: list[str],
        *,
        only: Iterable[int] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table, self._products, self._clock = table, products, clock
        waiting = table.waiting() if only is None else [(event, "", 1.0) for event in only]
        self._order: deque[int] = deque(event for event, _, _ in waiting)
        self.estimate = Estimate(((detectors, predicted) for _, detectors, predicted in waiting))
        self._sets = {event: detectors for event, detectors, _ in waiting}
        self._next: deque[Entry] = deque()
        self._alone: deque[Entry] = deque()
        self._nodes: dict[str, _Node] = {name: _Node(facts) for name, facts in table.nodes().items()}
        self._dealt: dict[int, str] = {}
        self._settled: list[Settled] = []
        self._last_commit = time.monotonic()
        self.done = self.set_aside = 0
        self.cpu = 0.0

    # ---- dealing --------------------------------------------------------------------------------------------------

    @property
    def left(self) -> int:
        """The number of events that no node has."""
        return len(self._order) + len(self._next) + len(self._alone)

    @property
    def in_hand(self) -> int:
        """The number of events that nodes hold."""
        return sum(len(node.has) for node in self._nodes.values())

    @property
    def is_over(self) -> bool:
        return not self.left and not self.in_hand

    @property
    def is_stuck(self) -> bool:
        """Whether events are left but every node is at fault."""
        joined = [node for node in self._nodes.values() if node.size]
        return bool(self.left and not self.in_hand and joined) and all(node.is_at_fault for node in joined)

    def join(self, node: str, size: int) -> None:
        """Add a node with its number of processes."""
        self._nodes.setdefault(node, _Node(NodeFacts())).size = size

    def take(self, node: str) -> Task | None:
        """Return the next event for a node, or None if it should get no more for now."""
        known = self._nodes[node]
        most = self._most(known)
        if known.is_at_fault or len(known.has) >= most:
            return None
        entry = self._pop(known)
        if entry is None:
            return None
        shares = known.size // most if most < known.size and entry.task.predicted >= LONG else 1
        entry.task = msgspec.structs.replace(entry.task, shares=shares)
        known.has[entry.task.id] = entry
        self._dealt[entry.task.id] = node
        return entry.task

    def _most(self, node: _Node) -> int:
        """Return how many tasks a node may hold.

        While there are many, it gets some beyond its processes.  Near the end it does not, because a task that waits on
        one node could run on another.  Fewer tasks than processes are spread evenly.
        """
        processes = sum(node.size for node in self._nodes.values() if not node.is_at_fault)
        if self.left + self.in_hand < processes:
            return math.ceil((self.left + self.in_hand) * node.size / processes)
        return node.size + (SPARE if len(self._order) + len(self._next) > SPARE * processes else 0)

    def _pop(self, node: _Node) -> Entry | None:
        if not self._next and self._order:
            ids = [self._order.popleft() for _ in range(min(FETCHED, len(self._order)))]
            rows = self._table.tasks(ids, self._products)
            for event in ids:
                entry = Entry(*rows[event])
                (self._alone if entry.is_dangerous else self._next).append(entry)
        if self._next:
            return self._next.popleft()
        if self._alone and not node.has:
            entry = self._alone.popleft()
            entry.task = msgspec.structs.replace(entry.task, alone=True)
            return entry
        return None

    # ---- settling -------------------------------------------------------------------------------------------------

    def settle(self, node: str, outcome: Outcome) -> None:
        """Record the outcome of an event, and ignore it if the node does not hold that event."""
        known = self._nodes[node]
        entry = known.has.pop(outcome.id, None)
        if entry is None:
            return
        if outcome.how == "done":
            self._succeeded(node, known, entry, outcome)
        elif outcome.how == "stopped":
            self._put_back(entry)
            self._write(entry, outcome, WAITING, node)
        else:
            self._failed(node, known, entry, outcome)

    def _succeeded(self, node: str, known: _Node, entry: Entry, outcome: Outcome) -> None:
        self.done += 1
        self.cpu += outcome.cpu
        known.failed.clear()
        known.done += 1
        known.facts = known.facts._replace(events=known.facts.events + 1, failures=0, cpu=known.facts.cpu + outcome.cpu)
        self.estimate.measured(self._sets.get(outcome.id, ""), entry.task.predicted, outcome.wall)
        self._write(entry, outcome, DONE, node)

    def _failed(self, node: str, known: _Node, entry: Entry, outcome: Outcome) -> None:
        state, entry.attempts = judged(outcome, entry.attempts)
        self._write(entry, outcome, state, node)
        if state == SET_ASIDE:
            self.set_aside += 1
            self.estimate.given_up(self._sets.get(outcome.id, ""), entry.task.predicted)
        else:
            self._put_back(entry)
        if outcome.how != "bad-input":
            known.failed.append(entry)
            known.facts = known.facts._replace(failures=len(known.failed))
            if len(known.failed) >= FAILURES_IN_A_ROW and self._others_do_well(node):
                self._blame(node, known, outcome.reason)

    def _others_do_well(self, node: str) -> bool:
        return any(
            other.size and other.done and not other.failed and not other.is_at_fault
            for name, other in self._nodes.items()
            if name != node
        )

    def _blame(self, node: str, known: _Node, reason: str) -> None:
        """Declare the node at fault, and discount its failures in a row for the events that no other node has yet."""
        known.facts = known.facts._replace(
            at_fault=f"{len(known.failed)} events failed in a row while other nodes succeeded; last reason: {reason}"
        )
        failed = {entry.task.id: entry for entry in known.failed}
        known.failed.clear()
        for entry in failed.values():
            if entry.attempts >= ATTEMPTS:
                self.set_aside -= 1
                self.estimate.taken_up_again(self._sets.get(entry.task.id, ""), entry.task.predicted)
            elif any(entry is other for other in self._next):
                self._next.remove(entry)
            elif any(entry is other for other in self._alone):
                self._alone.remove(entry)
            else:
                continue  # another node already has it
            entry.attempts = max(0, entry.attempts - 1)
            self._put_back(entry)
            again = Outcome(entry.task.id, "failed", f"on {node}, which is at fault")
            self._write(entry, again, WAITING, node)

    def lost(self, node: str) -> None:
        """Remove a node that is gone, and put its events back."""
        known = self._nodes[node]
        for entry in known.has.values():
            entry.interruptions += 1
            self._put_back(entry)
            self._write(entry, Outcome(entry.task.id, "stopped", "its node was lost"), WAITING, node)
        known.has.clear()
        known.size = 0

    def _put_back(self, entry: Entry) -> None:
        entry.task = msgspec.structs.replace(entry.task, alone=False)
        if entry.is_dangerous:
            self._alone.append(entry)
        else:
            self._next.appendleft(entry)

    def _write(self, entry: Entry, outcome: Outcome, state: str, node: str) -> None:
        self._dealt.pop(outcome.id, None)
        holder = outcome.host or node
        self._settled.append(Settled(outcome, state, entry.attempts, entry.interruptions, holder, self._clock()))

    # ---- the table ------------------------------------------------------------------------------------------------

    def commit(self, *, now: bool = False) -> None:
        """Write all changes since the last commit to the table if a commit is due, or if `now` is set.

        Raises
        ------
        LeaseLost
            If the campaign has another owner.
        TransientError
            If the table cannot be written at the moment.  The changes are kept for the next commit.
        """
        waited = time.monotonic() - self._last_commit
        if not now and waited < COMMIT_EVERY and len(self._settled) < COMMIT_AFTER:
            return
        if self._dealt or self._settled:
            nodes = {name: node.facts for name, node in self._nodes.items()}
            self._table.write(self._dealt, self._settled, nodes)
        self._dealt, self._settled = {}, []
        self._last_commit = time.monotonic()
