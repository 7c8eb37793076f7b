"""Copies of a ledger in use, and dispatchers that begin again from one: nothing is lost, nothing is done twice."""

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
from tests.integration.alert_rig import AlertRig
from tests.integration.rig import Rig
from tests.integration.test_alert_trouble import INITIAL, PRELIMINARY
from tests.integration.test_way_of_a_notice import burst


def copied(rig: Rig, copy: Path) -> Path:
    """A copy whose dispatcher is dead: that of a rig is this very process."""
    with rig.ledger.transaction() as tx:
        in_force.record(tx, rig.policy, rig.profile, rig.clock.now())
    back_up(rig.ledger, copy, time.time())  # the brokers' time
    with closing(sqlite3.connect(copy)) as file:
        file.execute("UPDATE leases SET released = 1")
        file.commit()
    return copy


def lose(rig: Rig, *, files: bool = True) -> None:
    """The state directory is gone, or only its ledger."""
    rig.ledger.close()
    if files:
        shutil.rmtree(rig.folder)
    else:
        for part in rig.folder.glob("ledger.sqlite*"):
            part.unlink()


def again_from(rig: AlertRig, copy: Path, *, files: bool = True) -> AlertRig:
    """A dispatcher begins with a copy of its ledger; the state directory it had is gone, or only the ledger."""
    lose(rig, files=files)
    folder = rig.folder.with_name("restored")
    restore(copy, folder, rig.clock.now())
    again = AlertRig(folder, rig.server, rig.brokers)
    again.topic = rig.topic
    again.set_alerts()
    again.clock.advance(rig.clock.now() - again.clock.now())
    return again


MOMENTS = [0, 9, 40, *(pytest.param(steps, marks=pytest.mark.soak) for steps in (2, 5, 14, 20))]


@pytest.mark.parametrize("steps", MOMENTS)
def test_whenever_the_copy_was_taken_nothing_is_lost_and_nothing_done_twice(
    alerting: AlertRig, tmp_path: Path, steps: int
) -> None:
    files, logs, again = through_a_loss(alerting, tmp_path, steps, files=False)
    assert again.files(again.sid) == files
    more = Counter(again.logs(again.sid))
    assert logs <= more
    assert all(text.startswith("No initial notice is sent: GraceDB has it already") for text in more - logs)


@pytest.mark.parametrize(
    "steps", [9, *(pytest.param(steps, marks=pytest.mark.soak) for steps in (0, 2, 5, 14, 20, 40))]
)
def test_what_is_gone_with_its_disk_is_computed_again(alerting: AlertRig, tmp_path: Path, steps: int) -> None:
    """Here every attempt makes another content, so that there may be another version; of no notice, though."""
    files, _, again = through_a_loss(alerting, tmp_path, steps, files=True)
    assert {name.partition(",")[0] for name in again.files(again.sid)} == {name.partition(",")[0] for name in files}
    for form in (".json", ".avro"):
        notices = [name for name in files if name.startswith(again.sid) and form in name]
        assert [name for name in again.files(again.sid) if name.startswith(again.sid) and form in name] == notices


def through_a_loss(rig: AlertRig, folder: Path, steps: int, *, files: bool) -> tuple[list[str], Counter[str], AlertRig]:
    """Lose the ledger in the end, with or without all files, that was copied after so many steps.

    Returns what the superevent had before, its files and log, and the new dispatcher after it has caught up.
    """
    rig.upload()
    for _ in range(steps):
        rig.step()
        rig.clock.advance(0.5)
    copied(rig, folder / "copy.sqlite")
    rig.settle(300)
    rig.server.client.create_signoff(rig.sid, "ADV", "OK", "")
    rig.settle(5)
    sent, had = [PRELIMINARY, PRELIMINARY, INITIAL], rig.files(rig.sid)
    assert rig.kinds() == sent
    logs = Counter(rig.logs(rig.sid))
    again = again_from(rig, folder / "copy.sqlite", files=files)
    again.settle(400)
    assert again.kinds() == again.kinds("scimma") == sent
    assert len(again.server.client.notices(again.sid).json()["notices"]) == 3
    assert len(list(again.server.client.superevents("category: Production"))) == 1
    assert not again.dead()
    again.ledger.close()
    return had, logs, again


def test_a_notice_that_only_the_brokers_have_is_found_there(
    alerting: AlertRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine dies after a notice was sent and before GraceDB was told."""
    rig = alerting
    rig.upload()
    copied(rig, tmp_path / "copy.sqlite")
    client = rig.runtime.gracedb().client

    def away(*args: Any, **kwargs: Any) -> Any:
        raise TransientError("the machine dies")

    with monkeypatch.context() as dying:
        dying.setattr(client, "create_notice", away)
        rig.settle(20)
    assert rig.kinds() == [PRELIMINARY]
    assert rig.server.client.notices(rig.sid).json()["notices"] == []
    again = again_from(rig, tmp_path / "copy.sqlite")

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


def test_products_whose_files_are_gone_are_taken_from_gracedb(rig: Rig, tmp_path: Path) -> None:
    rig.upload()
    rig.settle()
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    found = restore(tmp_path / "copy.sqlite", tmp_path / "new", rig.clock.now())
    assert found.files_gone > 5
    again = Rig(tmp_path / "new", rig.server)
    sid = again.superevents()[0]["superevent_id"]
    again.notice(burst())  # the combined map is made from that of the superevent, whose file is gone
    again.settle(30)
    assert {"combined-ext.multiorder.fits,0", "combined-ext.png,0"} <= set(again.files(sid))
    assert not again.dead()
    again.ledger.close()


def test_what_was_made_and_not_uploaded_is_made_again(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graceid = rig.upload()

    def away(*args: Any, **kwargs: Any) -> Any:
        raise TransientError("GraceDB is away")

    with monkeypatch.context() as outage:
        outage.setattr(rig.runtime.gracedb().client, "write_log", away)
        rig.settle(10)
    assert "bayestar.multiorder.fits,0" not in rig.files(graceid)
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", rig.clock.now())
    again = Rig(tmp_path / "new", rig.server)
    again.settle(30)
    assert "bayestar.multiorder.fits,0" in again.files(graceid)
    assert "SKYMAP_READY" in again.server.client.event(graceid).json()["labels"]
    sid = again.superevents()[0]["superevent_id"]
    assert {"bayestar.multiorder.fits,0", "bayestar.png,0"} <= set(again.files(sid))
    assert not again.dead()
    again.ledger.close()


# ---- the copy -------------------------------------------------------------------------------------------------


def test_a_copy_is_whole_while_the_ledger_is_written_to(rig: Rig, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with rig.ledger.transaction() as tx:
                for name in ("a", "b"):
                    tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, 0)", (name, str(number)))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            target = tmp_path / f"{number}.sqlite"
            back_up(rig.ledger, target, 100.0 + number)
            copy = sqlite3.connect(target)
            values = dict(copy.execute("SELECT name, value FROM settings WHERE name IN ('a', 'b')").fetchall())
            copy.close()
            assert values.get("a") == values.get("b"), "half a transaction"
            assert target.stat().st_mode & 0o077 == 0
    finally:
        stop.set()
        writer.join()
    assert sorted(path.name for path in tmp_path.glob("*.sqlite*")) == sorted(f"{n}.sqlite" for n in range(20))


def test_what_tells_our_jobs_from_others_is_in_the_copy(rig: Rig, tmp_path: Path) -> None:
    """Else jobs under way would not be found again, and be repeated."""
    from gwbatch.schedulers.dispatcher_id import dispatcher_id

    state = rig.ledger.path.parent  # type: ignore[union-attr]
    (state / "slurm").mkdir()
    ours = dispatcher_id(state / "slurm")
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)
    assert dispatcher_id(tmp_path / "new" / "slurm") == ours


@pytest.mark.parametrize("damage", ["cut", "overwritten", "not SQLite", "another ledger", "empty"])
def test_a_copy_that_cannot_be_used_is_refused_in_words(rig: Rig, tmp_path: Path, damage: str) -> None:
    rig.upload()
    rig.settle(5)
    copy = tmp_path / "copy.sqlite"
    back_up(rig.ledger, copy, 1.0)
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


def test_nothing_that_is_there_is_overwritten(rig: Rig, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    back_up(rig.ledger, copy, 1.0)
    with pytest.raises(ConfigError, match="it has a ledger already"):
        restore(copy, rig.ledger.path.parent, 2.0)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="it is the ledger itself"):
        back_up(rig.ledger, rig.ledger.path, 2.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is no folder"):
        back_up(rig.ledger, tmp_path / "nowhere" / "copy.sqlite", 2.0)


def test_a_ledger_whose_dispatcher_runs_is_not_restored_beside_it(rig: Rig, tmp_path: Path) -> None:
    with rig.ledger.transaction() as tx:
        tx.execute("UPDATE leases SET released = 1")
        leases.acquire(tx, "dispatcher", rig.clock.now())
    back_up(rig.ledger, tmp_path / "copy.sqlite", 1.0)
    with pytest.raises(ConfigError, match=f"runs with pid {os.getpid()}"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_nor_one_whose_dispatcher_was_started_after_the_copy(rig: Rig, tmp_path: Path) -> None:
    copied(rig, tmp_path / "copy.sqlite")
    with pytest.raises(ConfigError, match=f"runs with pid {os.getpid()}"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_what_a_ledger_left_behind_is_not_mixed_with_the_copy(rig: Rig, tmp_path: Path) -> None:
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "ledger.sqlite-wal").write_bytes(b"a log of the damaged ledger")
    with pytest.raises(ConfigError, match="it has a ledger already"):
        restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)


def test_a_restore_that_was_killed_is_done_again(rig: Rig, tmp_path: Path) -> None:
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".restoring-1.sqlite").write_bytes(b"half")
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 2.0)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        ".restoring-1.sqlite",
        "ledger.lock",
        "ledger.sqlite",
    ]


def test_a_dispatcher_that_starts_meanwhile_keeps_its_ledger(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gwbatch.ledger import backup

    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
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


def test_a_path_may_hold_any_character(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "50% of a #?& ü"
    folder.mkdir()
    copied(rig, folder / "copy.sqlite")
    lose(rig)
    assert restore(folder / "copy.sqlite", folder / "new", 2.0).asked_first == 0


def test_after_a_week_effects_are_done_without_asking(rig: Rig, tmp_path: Path) -> None:
    from gwbatch.effects.kinds import Label
    from gwbatch.ledger import effects

    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", 1000.0)
    ledger = Ledger(tmp_path / "new" / "ledger.sqlite")
    with ledger.transaction() as tx:
        effects.ask_for(tx, Label("G1", "EM_READY"), 1000.0 + 604000)
        effects.ask_for(tx, Label("G2", "EM_READY"), 1000.0 + 605000)
    attempts = {row["subject"]: row["attempts"] for row in ledger.read("SELECT subject, attempts FROM effects")}
    assert attempts == {"G1": 1, "G2": 0}
    ledger.close()


# ---- by hand ----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, arguments)


def test_backup_and_restore_by_hand(rig: Rig, tmp_path: Path) -> None:
    rig.upload()
    rig.settle(5)
    with rig.ledger.transaction() as tx:
        tx.execute("UPDATE leases SET released = 1")
    state, copy = str(rig.ledger.path.parent), str(tmp_path / "copy.sqlite")  # type: ignore[union-attr]
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


def test_an_old_backup_is_a_finding_where_backups_are_made(rig: Rig, tmp_path: Path) -> None:
    def found(hours: float) -> dict[str, str]:
        return {one["key"]: one["level"] for one in report(rig.ledger, rig.clock.now() + 3600 * hours)["findings"]}

    assert "backup" not in found(100), "nobody makes backups here"
    back_up(rig.ledger, tmp_path / "copy.sqlite", rig.clock.now())
    assert "backup" not in found(25)
    assert found(27)["backup"] == Level.WARNING.name
    copied(rig, tmp_path / "copy.sqlite")
    lose(rig)
    restore(tmp_path / "copy.sqlite", tmp_path / "new", rig.clock.now())
    ledger = Ledger(tmp_path / "new" / "ledger.sqlite")
    findings = {one["key"]: one["level"] for one in report(ledger, rig.clock.now())["findings"]}
    assert findings["restored"] == Level.OK.name
    assert ledger.read(query("describe_backup")) == [], "it is a ledger again, not a copy"
    ledger.close()
