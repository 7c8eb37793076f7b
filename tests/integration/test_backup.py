"""Backups of a ledger in use, and dispatchers that start from one: nothing is lost and nothing is done twice."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gwbatch.cli import cli
from gwbatch.errors import BadInput, ConfigError, TransientError
from gwbatch.executors.notices.producer import Publisher
from gwbatch.ledger import Ledger, in_force, leases
from gwbatch.ledger.backup import back_up, described, restore
from gwbatch.ledger.database import query
from gwbatch.reports.finding import Level
from gwbatch.reports.status import report
from tests.integration.alert_harness import AlertHarness
from tests.integration.harness import Harness
from tests.integration.test_alert_failures import INITIAL, PRELIMINARY
from tests.integration.test_notice_to_coincidence import burst


def copied(harness: Harness, copy: Path) -> Path:
    """Back up the ledger, and release the copy's leases, because a harness's dispatcher is this live process."""
    with harness.ledger.transaction() as tx:
        in_force.record(tx, harness.policy, harness.profile, harness.clock.now())
    back_up(harness.ledger, copy, time.time())  # real time, which the brokers use
    with closing(sqlite3.connect(copy)) as file:
        file.execute("UPDATE leases SET released = 1")
        file.commit()
    return copy


def lose(harness: Harness, *, files: bool = True) -> None:
    """Delete the state directory, or only its ledger."""
    harness.ledger.close()
    if files:
        shutil.rmtree(harness.folder)
    else:
        for part in harness.folder.glob("ledger.sqlite*"):
            part.unlink()


def again_from(harness: AlertHarness, copy: Path, *, files: bool = True) -> AlertHarness:
    """Delete the state directory, or only its ledger, and start a dispatcher from a copy of the ledger."""
    lose(harness, files=files)
    folder = harness.folder.with_name("restored")
    restore(copy, folder, harness.clock.now())
    again = AlertHarness(folder, harness.server, harness.brokers)
    again.topic = harness.topic
    again.set_alerts()
    again.clock.advance(harness.clock.now() - again.clock.now())
    return again


MOMENTS = [0, 9, 40, *(pytest.param(steps, marks=pytest.mark.soak) for steps in (2, 5, 14, 20))]


@pytest.mark.parametrize("steps", MOMENTS)
def test_whenever_the_copy_was_taken_nothing_is_lost_and_nothing_done_twice(
    alerting: AlertHarness, tmp_path: Path, steps: int
) -> None:
    files, logs, again = through_a_loss(alerting, tmp_path, steps, files=False)
    assert again.files(again.sid) == files
    more = Counter(again.logs(again.sid))
    assert logs <= more
    assert all(text.startswith("The initial notice is not sent: GraceDB already has it") for text in more - logs)


@pytest.mark.parametrize(
    "steps", [9, *(pytest.param(steps, marks=pytest.mark.soak) for steps in (0, 2, 5, 14, 20, 40))]
)
def test_what_is_gone_with_its_disk_is_computed_again(alerting: AlertHarness, tmp_path: Path, steps: int) -> None:
    """Every attempt makes different contents, so files may get another version. Notices may not."""
    files, _, again = through_a_loss(alerting, tmp_path, steps, files=True)
    assert {name.partition(",")[0] for name in again.files(again.sid)} == {name.partition(",")[0] for name in files}
    for form in (".json", ".avro"):
        notices = [name for name in files if name.startswith(again.sid) and form in name]
        assert [name for name in again.files(again.sid) if name.startswith(again.sid) and form in name] == notices


def through_a_loss(
    harness: AlertHarness, folder: Path, steps: int, *, files: bool
) -> tuple[list[str], Counter[str], AlertHarness]:
    """Copy the ledger after `steps` steps, later lose it, with or without all files, and start again from the copy.

    Return the superevent's files and log before the loss, and the new dispatcher after it has caught up.
    """
    harness.upload()
    for _ in range(steps):
        harness.step()
        harness.clock.advance(0.5)
    copied(harness, folder / "copy.sqlite")
    harness.settle(300)
    harness.server.client.create_signoff(harness.sid, "ADV", "OK", "")
    harness.settle(5)
    sent, had = [PRELIMINARY, PRELIMINARY, INITIAL], harness.files(harness.sid)
    assert harness.kinds() == sent
    logs = Counter(harness.logs(harness.sid))
    again = again_from(harness, folder / "copy.sqlite", files=files)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == sent
    assert len(again.server.client.notices(again.sid).json()["notices"]) == 3
    assert len(list(again.server.client.superevents("category: Production"))) == 1
    assert not again.dead()
    again.ledger.close()
    return had, logs, again


def test_a_notice_that_only_the_brokers_have_is_found_there(
    alerting: AlertHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine dies after a notice was sent and before GraceDB has stored it."""
    harness = alerting
    harness.upload()
    copied(harness, tmp_path / "copy.sqlite")
    client = harness.runtime.gracedb().client

    def away(*args: Any, **kwargs: Any) -> Any:
        raise TransientError("the machine dies")

    with monkeypatch.context() as dying:
        dying.setattr(client, "create_notice", away)
        harness.settle(20)
    assert harness.kinds() == [PRELIMINARY]
    assert harness.server.client.notices(harness.sid).json()["notices"] == []
    again = again_from(harness, tmp_path / "copy.sqlite")

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("sent a second time")

    with monkeypatch.context() as watched:
        watched.setattr(Publisher, "send", never)
        again.settle(20)
    assert again.kinds() == again.kinds("scimma") == [PRELIMINARY]
    assert [one["notice_type"] for one in again.server.client.notices(again.sid).json()["notices"]] == ["PR"]
    again.settle(300)
    assert again.kinds() == [PRELIMINARY, PRELIMINARY]
    assert not again.dead()
    again.ledger.close()


def test_products_whose_files_are_gone_are_taken_from_gracedb(harness: Harness, tmp_path: Path) -> None:
    harness.upload()
    harness.settle()
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    found = restore(tmp_path / "copy.sqlite", tmp_path / "new", harness.clock.now())
    assert found.files_gone > 5
    again = Harness(tmp_path / "new", harness.server)
    sid = again.superevents()[0]["superevent_id"]
    again.notice(burst())  # the combined map needs the superevent's map, whose file is gone
    again.settle(30)
    assert {"combined-ext.multiorder.fits,0", "combined-ext.png,0"} <= set(again.files(sid))
    assert not again.dead()
    again.ledger.close()


def test_what_was_made_and_not_uploaded_is_made_again(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graceid = harness.upload()

    def away(*args: Any, **kwargs: Any) -> Any:
        raise TransientError("GraceDB is away")

    with monkeypatch.context() as outage:
        outage.setattr(harness.runtime.gracedb().client, "write_log", away)
        harness.settle(10)
    assert "bayestar.multiorder.fits,0" not in harness.files(graceid)
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", harness.clock.now())
    again = Harness(tmp_path / "new", harness.server)
    again.settle(30)
    assert "bayestar.multiorder.fits,0" in again.files(graceid)
    assert "SKYMAP_READY" in again.server.client.event(graceid).json()["labels"]
    sid = again.superevents()[0]["superevent_id"]
    assert {"bayestar.multiorder.fits,0", "bayestar.png,0"} <= set(again.files(sid))
    assert not again.dead()
    again.ledger.close()


# ---- the copy -------------------------------------------------------------------------------------------------


def test_a_copy_is_whole_while_the_ledger_is_written_to(harness: Harness, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with harness.ledger.transaction() as tx:
                for name in ("a", "b"):
                    tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, 0)", (name, str(number)))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            target = tmp_path / f"{number}.sqlite"
            back_up(harness.ledger, target, 100.0 + number)
            copy = sqlite3.connect(target)
            values = dict(copy.execute("SELECT name, value FROM settings WHERE name IN ('a', 'b')").fetchall())
            copy.close()
            assert values.get("a") == values.get("b"), "half a transaction"
            assert target.stat().st_mode & 0o077 == 0
    finally:
        stop.set()
        writer.join()
    assert sorted(path.name for path in tmp_path.glob("*.sqlite*")) == sorted(f"{n}.sqlite" for n in range(20))


def test_what_tells_our_jobs_from_others_is_in_the_copy(harness: Harness, tmp_path: Path) -> None:
    """Otherwise running jobs would not be found again, and would be repeated."""
    from gwbatch.schedulers.dispatcher_id import dispatcher_id

    state = harness.ledger.path.parent  # type: ignore[union-attr]
    (state / "slurm").mkdir()
    ours = dispatcher_id(state / "slurm")
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)
    assert dispatcher_id(tmp_path / "new" / "slurm") == ours


@pytest.mark.parametrize("damage", ["cut", "overwritten", "not SQLite", "another ledger", "empty"])
def test_a_copy_that_cannot_be_used_is_refused_in_words(harness: Harness, tmp_path: Path, damage: str) -> None:
    harness.upload()
    harness.settle(5)
    copy = tmp_path / "copy.sqlite"
    back_up(harness.ledger, copy, 1.0)
    content = copy.read_bytes()
    if damage == "cut":
        copy.write_bytes(content[: len(content) // 2])
    elif damage == "overwritten":
        half = len(content) // 2 // 4096 * 4096
        copy.write_bytes(content[:half] + os.urandom(3 * 4096) + content[half + 3 * 4096 :])
    elif damage == "another ledger":
        with sqlite3.connect(copy) as file:
            file.execute("DELETE FROM settings WHERE name = 'backup'")
        file.close()
    else:
        copy.write_bytes(b"" if damage == "empty" else b"not SQLite" * 1000)
    with pytest.raises(BadInput, match=r"^Cannot use .*copy\.sqlite: "):
        restore(copy, tmp_path / "new", 2.0)
    assert not (tmp_path / "new").exists()


def test_nothing_that_is_there_is_overwritten(harness: Harness, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    back_up(harness.ledger, copy, 1.0)
    with pytest.raises(ConfigError, match="it has a ledger already"):
        restore(copy, harness.ledger.path.parent, 2.0)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="it is the ledger itself"):
        back_up(harness.ledger, harness.ledger.path, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is no folder"):
        back_up(harness.ledger, tmp_path / "nowhere" / "copy.sqlite", 2.0)


def test_a_ledger_whose_dispatcher_runs_is_not_restored_beside_it(harness: Harness, tmp_path: Path) -> None:
    with harness.ledger.transaction() as tx:
        tx.execute("UPDATE leases SET released = 1")
        leases.acquire(tx, "dispatcher", harness.clock.now())
    back_up(harness.ledger, tmp_path / "copy.sqlite", 1.0)
    with pytest.raises(ConfigError, match=f"is running with pid {os.getpid()}"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_nor_one_whose_dispatcher_was_started_after_the_copy(harness: Harness, tmp_path: Path) -> None:
    copied(harness, tmp_path / "copy.sqlite")
    with pytest.raises(ConfigError, match=f"is running with pid {os.getpid()}"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_what_a_ledger_left_behind_is_not_mixed_with_the_copy(harness: Harness, tmp_path: Path) -> None:
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ledger.sqlite-wal").write_bytes(b"a log of the damaged ledger")
    with pytest.raises(ConfigError, match="it has a ledger already"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_a_restore_that_was_killed_is_done_again(harness: Harness, tmp_path: Path) -> None:
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".restoring-1.sqlite").write_bytes(b"half")
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        ".restoring-1.sqlite",
        "ledger.lock",
        "ledger.sqlite",
    ]


def test_a_dispatcher_that_starts_meanwhile_keeps_its_ledger(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.ledger import backup

    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    real, target = backup._prepare, tmp_path / "new" / "ledger.sqlite"

    def slowly(*arguments: Any) -> Any:
        Ledger(target, create=True).close()
        return real(*arguments)

    monkeypatch.setattr(backup, "_prepare", slowly)
    with pytest.raises(ConfigError, match="a dispatcher was started there meanwhile"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)
    ledger = Ledger(target)
    assert ledger.read("SELECT 1 FROM settings WHERE name = 'restored'") == []
    ledger.close()


def test_a_path_may_hold_any_character(harness: Harness, tmp_path: Path) -> None:
    folder = tmp_path / "50% of a #?& ü"
    folder.mkdir()
    copied(harness, folder / "copy.sqlite")
    lose(harness)
    assert restore(folder / "copy.sqlite", folder / "new", 2.0).asked_first == 0


def test_after_a_week_effects_are_done_without_asking(harness: Harness, tmp_path: Path) -> None:
    from gwbatch.effects.kinds import Label
    from gwbatch.ledger import effects

    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 1000.0)
    ledger = Ledger(tmp_path / "new" / "ledger.sqlite")
    with ledger.transaction() as tx:
        effects.request(tx, Label("G1", "EM_READY"), 1000.0 + 604000)
        effects.request(tx, Label("G2", "EM_READY"), 1000.0 + 605000)
    attempts = {row["subject"]: row["attempts"] for row in ledger.read("SELECT subject, attempts FROM effects")}
    assert attempts == {"G1": 1, "G2": 0}
    ledger.close()


# ---- the commands -----------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


def test_backup_and_restore_by_hand(harness: Harness, tmp_path: Path) -> None:
    harness.upload()
    harness.settle(5)
    with harness.ledger.transaction() as tx:
        tx.execute("UPDATE leases SET released = 1")
    state, copy = str(harness.ledger.path.parent), str(tmp_path / "copy.sqlite")  # type: ignore[union-attr]
    made = run("backup", copy, "--state", state)
    assert made.exit_code == 0, made.output
    assert "1 superevents" in made.output
    assert "verified" in made.output
    told = json.loads(run("backup", copy, "--verify", "--json").output)
    assert (told["state"], told["superevents"]) == (state, 1)
    assert told["taken"] == described(tmp_path / "copy.sqlite").taken
    back = run("restore", copy, "--state", str(tmp_path / "new"))
    assert back.exit_code == 0, back.output
    assert "Start the dispatcher: gwbatch run --state" in back.output


def test_an_old_backup_is_a_finding_where_backups_are_made(harness: Harness, tmp_path: Path) -> None:
    def found(hours: float) -> dict[str, str]:
        return {
            one["key"]: one["level"] for one in report(harness.ledger, harness.clock.now() + 3600 * hours)["findings"]
        }

    assert "backup" not in found(100), "nobody makes backups here"
    back_up(harness.ledger, tmp_path / "copy.sqlite", harness.clock.now())
    assert "backup" not in found(25)
    assert found(27)["backup"] == Level.WARNING.name
    copied(harness, tmp_path / "copy.sqlite")
    lose(harness)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", harness.clock.now())
    ledger = Ledger(tmp_path / "new" / "ledger.sqlite")
    findings = {one["key"]: one["level"] for one in report(ledger, harness.clock.now())["findings"]}
    assert findings["restored"] == Level.OK.name
    assert ledger.read(query("describe_backup")) == [], "it is a ledger again, not a copy"
    ledger.close()
