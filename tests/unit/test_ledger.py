"""Guarantees of the ledger: atomic, exactly once, durable, and never on a network file system."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from rich.console import Console

from gwbatch.cli.status import render
from gwbatch.effects import Effect
from gwbatch.errors import ConfigError, LedgerBusy, NetworkFileSystem
from gwbatch.handlers.messages import SecondNotice
from gwbatch.ledger import Ledger, effects, filesystem, jobs, messages, migrations, offsets, timers
from gwbatch.ledger.messages import Incoming
from gwbatch.ledger.offsets import Position
from gwbatch.reports.status import report


def test_a_committed_transaction_is_durable_by_configuration(ledger: Ledger) -> None:
    assert ledger.read("PRAGMA journal_mode")[0][0] == "wal"
    assert ledger.read("PRAGMA synchronous")[0][0] == 2  # FULL


def test_all_or_nothing(ledger: Ledger) -> None:
    def fail_halfway() -> None:
        with ledger.transaction() as tx:
            messages.receive(tx, Incoming("k", "t", 0, 0, b"x"), ["general"], 1.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert ledger.read("SELECT * FROM messages") == []


def test_one_place_in_a_stream_is_received_once(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        assert messages.receive(tx, Incoming("k", "t", 0, 5, b"x"), ["general"], 1.0) is not None
        assert messages.receive(tx, Incoming("k", "t", 0, 5, b"x"), ["general"], 2.0) is None
        assert messages.receive(tx, Incoming("k", "t", 0, 5, b"x", epoch=1), ["general"], 2.0) is not None
    assert len(ledger.read("SELECT * FROM deliveries")) == 2


def test_writers_wait_for_each_other_and_then_say_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite", create=True, busy_timeout=0.05)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger.transaction():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait(10)
    with pytest.raises(LedgerBusy), ledger.transaction():
        pass
    leave.set()
    thread.join()
    with ledger.transaction():
        pass


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM sqlite_master"])
def test_who_looks_at_a_new_ledger_does_not_end_the_dispatcher_that_makes_it(tmp_path: Path, begin: str) -> None:
    """Until the ledger has its write-ahead log, SQLite reports a lock at once instead of waiting."""
    path = tmp_path / "ledger.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE something (it)")
    for statement in begin.split("; "):
        other.execute(statement).fetchall()
    threading.Timer(0.5, other.execute, ["ROLLBACK"]).start()
    opened = Ledger(path, create=True)
    assert opened.read("PRAGMA journal_mode")[0][0] == "wal"
    opened.close()
    other.close()


def test_a_network_file_system_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "filesystem_type", lambda path: "nfs4")
    with pytest.raises(NetworkFileSystem, match="local disk, for example --state"):
        Ledger(tmp_path / "ledger.sqlite", create=True)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_the_file_system_of_a_path_is_that_of_its_deepest_mount() -> None:
    assert filesystem.filesystem_type(Path("/proc/self")) == "proc"


def test_opening_a_ledger_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gwbatch run"):
        Ledger(tmp_path / "ledger.sqlite")


def test_the_schema_is_made_once_by_however_many_processes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    threads = [threading.Thread(target=Ledger, args=(path,), kwargs={"create": True}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    applied = [row["name"] for row in Ledger(path).read("SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert applied == migrations.steps()


def test_a_step_that_fails_changes_nothing_and_stays_pending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "0001_good.sql").write_text("CREATE TABLE good (id);\n")
    (tmp_path / "0002_bad.sql").write_text("CREATE TABLE half (id);\nINSERT INTO nowhere VALUES (1);\n")
    monkeypatch.setattr(migrations, "_SCHEMA", tmp_path)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrations.apply(connection, migrations.pending(connection))
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"good", "_sqlite_migrations"}
    assert migrations.pending(connection) == ["0002_bad"]


class Thing(Effect, frozen=True):
    """An effect whose key, subject and priority a test chooses."""

    kind = "test.thing"
    name: str
    about: str
    rank: int = 0

    @property
    def key(self) -> str:
        return self.name

    @property
    def subject(self) -> str:
        return self.about

    @property
    def priority(self) -> int:
        return self.rank


def ask(tx: sqlite3.Connection, key: str, subject: str = "s", after: str | None = None, priority: int = 0) -> bool:
    return effects.request(tx, Thing(key, subject, priority, after=after), 1.0)


def test_an_effect_asked_for_twice_is_one(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        assert ask(tx, "a")
        assert not ask(tx, "a")


def test_effects_of_one_subject_keep_their_order(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        ask(tx, "first")
        ask(tx, "second", priority=99)
        ask(tx, "other", subject="o")
        first = effects.claim(tx, 1, 2.0)
        other = effects.claim(tx, 1, 2.0)
        assert first is not None
        assert other is not None
        assert (first.key, other.key) == ("first", "other")
        assert effects.claim(tx, 1, 2.0) is None
        effects.postpone(tx, first, 10.0, "busy")
        assert effects.claim(tx, 1, 9.0) is None, "the second must not overtake the first while that waits"
        again = effects.claim(tx, 1, 10.0)
        assert again is not None
        assert (again.key, again.attempts) == ("first", 2)
        effects.done(tx, again, {}, 11.0)
        second = effects.claim(tx, 1, 11.0)
        assert second is not None
        assert second.key == "second"


def test_an_effect_waits_for_the_one_it_comes_after(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        ask(tx, "label", subject="label", after="upload")
        assert effects.claim(tx, 1, 2.0) is None
        ask(tx, "upload", subject="upload")
        upload = effects.claim(tx, 1, 2.0)
        assert upload is not None
        assert effects.claim(tx, 1, 2.0) is None
        effects.mark_dead(tx, upload, "refused", 3.0)
        assert effects.claim(tx, 1, 4.0) is None, "what depends on a dead effect stays undone"
        assert [kind for kind, _ in effects.retry_dead(tx, "upload")] == ["test.thing"]


def test_higher_priority_goes_first(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        ask(tx, "plot", subject="a", priority=1)
        ask(tx, "map", subject="b", priority=5)
        claimed = effects.claim(tx, 1, 2.0)
        assert claimed is not None
        assert claimed.key == "map"


def test_after_a_crash_running_effects_are_claimed_again_as_repeats(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        ask(tx, "a")
        effects.claim(tx, 1, 2.0)
    with ledger.transaction() as tx:
        assert effects.requeue_running(tx) == 1
        claimed = effects.claim(tx, 2, 3.0)
        assert claimed is not None
        assert claimed.attempts == 2


def test_a_timer_fires_once_and_survives(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        assert timers.schedule(tx, SecondNotice("S1", "preliminary"), "S1", 270.0)
        assert not timers.schedule(tx, SecondNotice("S1", "other"), "S1", 999.0)
        assert timers.fire_due(tx, 269.9) == 0
        assert timers.fire_due(tx, 270.0) == 1
        assert timers.fire_due(tx, 9e9) == 0
        (delivery,) = messages.next_deliveries(tx, "superevent", 270.0)
        assert delivery.topic == SecondNotice.topic


def test_a_repeating_timer_that_slept_fires_once_and_keeps_its_phase(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        timers.repeat(tx, "tick", "tick", "general", 60.0, 0.0)
        timers.repeat(tx, "tick", "tick", "general", 60.0, 30.0)  # a restart does not postpone it
        assert timers.next_due(tx) == 60.0
        assert timers.fire_due(tx, 250.0) == 1
        assert timers.next_due(tx) == 300.0


def test_pruning_keeps_dead_letters_and_what_is_open(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        ids = [messages.receive(tx, Incoming("k", "t", 0, n, b"%d" % n), ["general"], 1.0) for n in range(3)]
        first, second, _third = messages.next_deliveries(tx, "general", 1.0, 3)
        messages.mark_done(tx, first.id, 1.0)
        messages.mark_dead(tx, second.id, "bad", None, 1.0)
        assert messages.prune(tx, 100.0) == 1
        assert [row["id"] for row in tx.execute("SELECT id FROM messages")] == ids[1:]
        assert messages.retry_dead(tx) == 1


def test_positions_and_gaps_add_up(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        offsets.put(tx, "k", Position("t", 0, 0, 10), 1.0, gap=3)
        offsets.put(tx, "k", Position("t", 0, 0, 12), 2.0, gap=2)
        assert offsets.stored(tx, "k") == {("t", 0): Position("t", 0, 0, 12)}
        assert tx.execute("SELECT gap FROM offsets").fetchone()["gap"] == 5


def test_a_batch_takes_bounded_memory(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MEMORY", 1000)
    with ledger.transaction() as tx:
        for n in range(9):
            messages.receive(tx, Incoming("k", "t", 0, n, b"x" * 600), ["general"], 1.0)
        assert len(messages.next_deliveries(tx, "general", 1.0, 9)) == 2


def test_a_listener_that_is_gone_is_not_shown_as_connected(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        offsets.beat(tx, "k", 1, 0.0, 100.0, connected=True)
    assert report(ledger, 101.0)["listeners"][0]["connected"]
    assert not report(ledger, 130.0)["listeners"][0]["connected"]


def test_a_gap_is_shown_in_words(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        offsets.beat(tx, "k", 1, 0.0, 100.0, connected=True)
        offsets.put(tx, "k", Position("t", 0, 0, 10), 100.0, high_watermark=12, gap=3)
    found = report(ledger, 101.0)
    assert (found["listeners"][0]["gap"], found["listeners"][0]["lag"]) == (3, 2)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(found))
    assert "listener k missed 3 messages that the broker no longer held" in captured.get()


def test_a_ledger_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    old = sqlite3.connect(path, isolation_level=None)
    migrations.apply(old, ["0001_initial"])
    old.execute(
        "INSERT INTO jobs (key, kind, queue, subject, request, state, created, state_since) "
        "VALUES ('G1/localize', 'localize', 'openmp', 'G1', '{}', 'RUNNING', 1, 1)"
    )
    old.close()
    job = jobs.get(Ledger(path, create=True).connection, "G1/localize")
    assert job is not None
    assert (job.state, job.releases, job.avoid) == ("RUNNING", 0, ())
