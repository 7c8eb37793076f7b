"""Lanes: messages settled with their effects, failures kept without blocking, and only one deciding dispatcher."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch import effects, igwn_alert
from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy
from gwbatch.dispatcher.lanes import MAX_ATTEMPTS, MAX_CRASHES, LaneWorker
from gwbatch.dispatcher.service import set_timers
from gwbatch.errors import LeaseLost, LedgerUnwritable, TransientError, is_transient
from gwbatch.handlers import every
from gwbatch.handlers.context import Context
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger, leases, messages, timers
from gwbatch.ledger.messages import Incoming
from tests.declared import declaring
from tests.runtimes import make_runtime


@pytest.fixture
def registry() -> Iterator[Registry]:
    with declaring() as found:
        yield found


class Bench:
    """A lane on a ledger, and a way to send it messages."""

    def __init__(self, ledger: Ledger, policy: Policy, clock: ManualClock, notes: Path, registry: Registry) -> None:
        self.registry = registry
        self.ledger, self.policy, self.clock, self.notes = ledger, policy, clock, notes
        self.count = 0
        self.lane = self.make()

    def make(self, name: str = "general") -> LaneWorker:
        with self.ledger.transaction() as tx:
            self.lease = leases.acquire(tx, "dispatcher", self.clock.now())
        return LaneWorker(
            name, make_runtime(self.ledger, self.policy, self.clock, self.lease, registry=self.registry), self.notes
        )

    def send(self, payload: bytes = b"{}", topic: str = "t") -> None:
        self.count += 1
        with self.ledger.transaction() as tx:
            incoming = Incoming("k", topic, 0, self.count, payload)
            messages.receive(tx, incoming, self.registry.lanes_for(topic) or ["general"], self.clock.now())

    def states(self) -> list[str]:
        return [row["state"] for row in self.ledger.read("SELECT state FROM deliveries ORDER BY id")]

    def effects(self) -> list[str]:
        return [row["key"] for row in self.ledger.read("SELECT key FROM effects ORDER BY id")]

    def reason(self) -> str:
        return str(self.ledger.read("SELECT reason FROM deliveries WHERE reason IS NOT NULL")[0]["reason"])


@pytest.fixture
def bench(registry: Registry, ledger: Ledger, policy: Policy, clock: ManualClock, tmp_path: Path) -> Bench:
    return Bench(ledger, policy, clock, tmp_path / "notes", registry)


def test_effects_and_message_are_settled_together(bench: Bench) -> None:
    igwn_alert.handler("t")(lambda alert: effects.label("G1", "EM_READY"))
    bench.send()
    assert bench.lane.step()
    assert not bench.lane.step()
    assert (bench.states(), bench.effects()) == (["done"], ["G1/label/EM_READY"])


def test_a_handler_that_raises_is_a_dead_letter_and_the_lane_moves_on(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def broken(alert: dict[str, Any]) -> None:
        if alert.get("bad"):
            raise KeyError("no such thing")

    bench.send(b'{"bad": 1}')
    bench.send(b'{"bad": 0}')
    while bench.lane.step():
        pass
    assert bench.states() == ["dead", "done"]
    assert "KeyError: 'no such thing'" in bench.reason()
    trace = bench.ledger.read("SELECT traceback FROM deliveries WHERE state = 'dead'")[0]["traceback"]
    assert "raise KeyError" in trace


def test_one_broken_handler_takes_nothing_of_the_others_with_it(bench: Bench) -> None:
    calls = []

    @igwn_alert.handler("t")
    def good(alert: dict[str, Any], context: Context) -> effects.Effect:
        calls.append("good")
        return effects.label("G1", "EM_READY")

    @igwn_alert.handler("t")
    def bad(alert: dict[str, Any], context: Context) -> Iterator[effects.Effect]:
        yield effects.label("G1", "DQV")
        raise RuntimeError("plug-in trouble")

    bench.send()
    bench.lane.step()
    assert (bench.states(), bench.effects()) == (["dead"], ["G1/label/EM_READY"])
    with bench.ledger.transaction() as tx:
        messages.retry_dead(tx)
    bench.lane.step()
    assert calls == ["good"], "what succeeded is not done twice when the dead letter is retried"


def test_transient_trouble_is_retried_with_growing_pauses_then_given_up(bench: Bench) -> None:
    tries = []

    @igwn_alert.handler("t")
    def flaky(alert: dict[str, Any]) -> None:
        tries.append(bench.clock.now())
        raise TransientError("not now")

    bench.send()
    for _ in range(200):
        bench.lane.step()
        bench.clock.advance(2.0)
    assert bench.states() == ["dead"]
    assert len(tries) == MAX_ATTEMPTS
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses[-1] > pauses[0]


def test_a_waiting_retry_does_not_block_the_lane(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def flaky(alert: dict[str, Any]) -> None:
        if alert["n"] == 1:
            raise TransientError("not now")

    bench.send(b'{"n": 1}')
    bench.send(b'{"n": 2}')
    assert bench.lane.step()
    assert bench.states() == ["new", "done"]


def test_bad_json_is_a_dead_letter_with_its_reason(bench: Bench) -> None:
    igwn_alert.handler("t")(lambda alert: None)
    bench.send(b"{nonsense")
    bench.lane.step()
    assert bench.states() == ["dead"]
    assert "is not JSON" in bench.reason()


def test_the_same_content_on_two_topics_is_handled_once(bench: Bench) -> None:
    seen = []
    igwn_alert.handler("cbc_gstlal", "cbc_gstlal_allsky")(lambda alert, context: seen.append(context.topic))
    bench.send(b'{"uid": "G1"}', "cbc_gstlal")
    bench.send(b'{"uid": "G1"}', "cbc_gstlal_allsky")
    while bench.lane.step():
        pass
    assert seen == ["cbc_gstlal"]
    assert bench.states() == ["done", "done"]


def test_two_dispatchers_on_one_ledger_never_both_decide(bench: Bench) -> None:
    calls = []

    @igwn_alert.handler("t")
    def decide(alert: dict[str, Any], context: Context) -> effects.Effect:
        calls.append(alert)
        return effects.label("G1", "EM_READY")

    late = bench.lane
    bench.send()
    current = bench.make()  # takes over the lease
    with pytest.raises(LeaseLost):
        late.step()
    assert (calls, bench.effects()) == ([], [])
    current.step()
    assert (len(calls), bench.effects()) == (1, ["G1/label/EM_READY"])


def test_a_message_that_kills_the_process_is_found_out(bench: Bench) -> None:
    igwn_alert.handler("t")(lambda alert: None)
    bench.send()
    (delivery,) = messages.next_deliveries(bench.ledger.connection, "general", bench.clock.now())
    for crash in range(MAX_CRASHES):
        (bench.notes / f"general.{delivery.id}").write_text(f"{delivery.id}")  # what a killed process leaves behind
        bench.make()
        assert bench.states() == (["dead"] if crash == MAX_CRASHES - 1 else ["new"])
    assert "died while handling it, 3 times" in bench.reason()


def test_a_topic_that_lost_its_handler_is_a_dead_letter(bench: Bench) -> None:
    bench.send(topic="forgotten")
    bench.lane.step()
    assert "handles forgotten" in bench.reason()


def test_a_backlog_shares_commits_and_one_bad_message_spoils_nothing(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def picky(alert: dict[str, Any], context: Context) -> effects.Effect:
        if alert["n"] == 3:
            raise ValueError("three")
        return effects.log("G1", "x", key=str(alert["n"]))

    for n in range(7):
        bench.send(b'{"n": %d}' % n)
    assert bench.lane.step()
    assert not bench.lane.step()
    assert bench.states() == ["done"] * 3 + ["dead"] + ["done"] * 3
    assert len(bench.effects()) == 6


def test_the_innocent_of_a_batch_that_killed_the_process_are_told_from_the_guilty(bench: Bench) -> None:
    igwn_alert.handler("t")(lambda alert: None)
    for n in range(3):
        bench.send(b'{"n": %d}' % n)
    ids = [
        delivery.id for delivery in messages.next_deliveries(bench.ledger.connection, "general", bench.clock.now(), 9)
    ]
    (bench.notes / f"general.{ids[0]}").write_text("\n".join(map(str, ids)))
    lane = bench.make()
    assert lane.step()
    assert bench.states() == ["done", "new", "new"], "after a crash each is handled alone"


def test_a_handler_that_spoils_its_payload_spoils_nobody_elses(bench: Bench) -> None:
    seen = []
    igwn_alert.handler("t")(lambda alert: alert.clear())
    igwn_alert.handler("t")(lambda alert: seen.append(alert))
    bench.send(b'{"n": 1}')
    bench.lane.step()
    assert seen == [{"n": 1}]


def test_a_full_disk_loses_nothing_and_buries_nothing(bench: Bench) -> None:
    """SQLite rolls back the whole transaction by itself. The messages wait until there is space again."""

    @igwn_alert.handler("t")
    def big(alert: dict[str, Any], context: Context) -> effects.Effect:
        return effects.log("G1", "x" * 200_000, key=str(alert["n"]))

    for n in range(3):
        bench.send(b'{"n": %d}' % n)
    pages = bench.ledger.read("PRAGMA page_count")[0][0]
    bench.ledger.connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(LedgerUnwritable, match="disk is full"):
        bench.lane.step()
    assert (bench.states(), bench.effects()) == (["new"] * 3, [])
    bench.ledger.connection.execute("PRAGMA max_page_count = 1000000")
    bench.lane.step()
    assert (bench.states(), len(bench.effects())) == (["done"] * 3, 3)


def test_a_handler_that_exits_ends_itself_only(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def exits(alert: dict[str, Any]) -> None:
        raise SystemExit(2)

    @igwn_alert.handler("t")
    def exits_inside(alert: dict[str, Any], context: Context) -> None:
        raise SystemExit(2)

    bench.send()
    bench.lane.step()
    assert bench.states() == ["dead"]


def test_a_reason_that_no_encoding_has_is_kept_all_the_same(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def odd(alert: dict[str, Any]) -> None:
        raise ValueError("caf\udce9.fits")

    bench.send()
    bench.lane.step()
    assert "caf\\udce9.fits" in bench.reason()


def test_a_handler_that_ends_the_transaction_is_not_believed(bench: Bench) -> None:
    @igwn_alert.handler("t")
    def meddles(alert: dict[str, Any], context: Context) -> None:
        context.tx.execute("COMMIT")

    bench.send()
    with pytest.raises(LedgerUnwritable, match="by a handler"):
        bench.lane.step()
    assert bench.states() == ["new"]


def test_transient_beside_permanent_trouble_is_tried_again(bench: Bench) -> None:
    calls = []

    @igwn_alert.handler("t")
    def network(alert: dict[str, Any]) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionResetError("peer")

    @igwn_alert.handler("t")
    def broken(alert: dict[str, Any]) -> None:
        raise ValueError("always")

    bench.send()
    bench.lane.step()
    assert bench.states() == ["new"]
    bench.clock.advance(5)
    bench.lane.step()
    assert (bench.states(), len(calls)) == (["dead"], 2)


def test_what_one_worker_has_at_hand_does_not_hide_the_rest_from_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MEMORY", 1000)
    igwn_alert.handler("t")(lambda alert: None)
    bench.send(b'{"x": "' + b"y" * 2000 + b'"}')
    bench.send()
    first = bench.lane._take()
    second = bench.lane._take()
    assert [len(first), len(second)] == [1, 1]
    assert first != second


def test_a_disk_without_room_for_a_note_is_no_messages_fault(bench: Bench) -> None:
    igwn_alert.handler("t")(lambda alert: None)
    bench.send()
    bench.notes.rmdir()
    with pytest.raises(LedgerUnwritable, match="Cannot write"):
        bench.lane.step()
    bench.notes.mkdir()
    assert bench.lane.step()
    assert bench.states() == ["done"]


def test_what_the_machine_may_get_over_is_transient() -> None:
    assert is_transient(OSError(errno.ENOSPC, "full"))
    assert is_transient(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    assert is_transient(TimeoutError())
    assert not is_transient(FileNotFoundError(errno.ENOENT, "gone"))
    assert not is_transient(ValueError())


def test_an_every_handler_is_called_by_its_durable_timer(bench: Bench) -> None:
    """The timer is set once and fires by the clock. Each firing is a new message, which the lane handles."""
    ticks: list[dict[str, Any]] = []
    every(60)(lambda tick: ticks.append(tick))
    with bench.ledger.transaction() as tx:
        set_timers(tx, bench.registry, bench.clock.now())
    for _ in range(3):
        with bench.ledger.transaction() as tx:
            timers.fire_due(tx, bench.clock.now())
        while bench.lane.step():
            pass
        bench.clock.advance(60)
    assert len(ticks) == 2
    assert bench.states() == ["done", "done"]
