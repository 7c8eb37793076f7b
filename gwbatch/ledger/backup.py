"""Backups of a ledger in use, and new state directories made from them.

A backup is out of date when it is needed, and what was done after it is unknown.  Listeners resume at its offsets, so
every later message arrives again and the dispatcher repeats every decision.  For a week, every effect counts as one
that an earlier attempt may have executed: gwbatch asks GraceDB, the brokers and the batch system before it repeats
anything.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gwbatch.effects.notices import RecallNotices
from gwbatch.errors import BadInput, ConfigError
from gwbatch.ledger import effects, jobs, settings
from gwbatch.ledger.database import Ledger, Transaction, query
from gwbatch.ledger.leases import pid_alive
from gwbatch.ledger.settings import BACKED_UP, RESTORED
from gwbatch.private import private_file, private_folder

BACKUP = "backup"
ANNOUNCED = 7 * 86400.0  # s; a superevent created this long before the backup may still have had notices after it
IDENTITIES = "*/identity.json"  # below a state directory; they tell a dispatcher's jobs from those of others
PAGES = 2000  # copied at a time (8 MB), before writers get their turn


@dataclass(frozen=True)
class Backup:
    """A backup of a ledger.

    Attributes
    ----------
    taken : float
        Unix time in s.
    size : int
        Bytes.
    """

    path: str
    state: str
    host: str
    taken: float
    size: int
    superevents: int
    notices: int


@dataclass(frozen=True)
class Restored:
    """A ledger made from a backup.

    Attributes
    ----------
    asked_first : int
        Effects that were open in the backup; gwbatch asks the other side before it repeats any.
    files_gone : int
        Products whose files are no longer on this machine; GraceDB's are used where needed.
    """

    state: str
    taken: float
    asked_first: int
    files_gone: int


def back_up(
    ledger: Ledger, target: Path, now: float, progress: Callable[[int, int], object] = lambda done, of: None
) -> Backup:
    """Copy a ledger, even while a dispatcher writes to it, and verify the copy.

    `progress` gets the number of pages copied and the total. An existing backup is replaced only once the new one is
    complete.

    Raises
    ------
    ConfigError
        When the target folder does not exist, or the target is the ledger itself.
    """
    assert ledger.path is not None
    if target.exists() and target.samefile(ledger.path):
        raise ConfigError(f"Cannot write a backup to {target}: it is the ledger itself. Name another file.")
    if not target.parent.is_dir():
        raise ConfigError(f"Cannot write a backup to {target}: there is no folder {target.parent}. Make it first.")
    state = ledger.path.parent.absolute()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        private_file(partial)
        with closing(sqlite3.connect(partial)) as copy, closing(_read_only(ledger.path)) as source:
            # Within a read transaction, because otherwise the copy would restart after every commit of the dispatcher.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM settings").fetchone()
            source.backup(copy, pages=PAGES, progress=lambda _, left, whole: progress(whole - left, whole))
            _label(copy, state, now)
        found = _verified(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    with ledger.transaction() as tx:
        settings.put(tx, BACKED_UP, {"path": str(target)}, now)
    return described(target, found)


def _label(copy: sqlite3.Connection, state: Path, now: float) -> None:
    """Write into a copy where it comes from, and make it a single file."""
    copy.execute("PRAGMA journal_mode = DELETE")
    identities = {str(path.relative_to(state)): path.read_text() for path in state.glob(IDENTITIES)}
    settings.put(copy, BACKUP, {"state": str(state), "host": socket.gethostname(), "identities": identities}, now)
    copy.commit()


def _verified(path: Path) -> sqlite3.Row:
    """Return a backup's own description, after verifying it.

    Raises
    ------
    BadInput
        When it is damaged, or `back_up` did not make it.
    """
    try:
        with closing(_read_only(path)) as copy:
            copy.row_factory = sqlite3.Row
            faults = [str(row[0]) for row in copy.execute("PRAGMA integrity_check(3)")]
            if faults != ["ok"]:
                raise BadInput(f"Cannot use {path}: the copy is damaged ({'; '.join(faults)}). Take another backup.")
            row: sqlite3.Row | None = copy.execute(query("describe_backup")).fetchone()
    except sqlite3.Error as error:
        raise BadInput(f"Cannot use {path}: it is not a backup of a ledger ({error}).") from error
    if row is None:
        raise BadInput(f"Cannot use {path}: it is a ledger, but 'gwbatch backup' did not write it.")
    return row


def described(path: Path, row: sqlite3.Row | None = None) -> Backup:
    """Return what a backup holds, after verifying it unless `row` is given."""
    row = row or _verified(path)
    about = json.loads(row["value"])
    return Backup(
        str(path), about["state"], about["host"], row["recorded"], path.stat().st_size, row["superevents"],
        row["notices"],
    )  # fmt: skip


def restore(source: Path, state: Path, now: float) -> Restored:
    """Make a new state directory from a backup, prepared before its first use so that nothing is repeated unchecked.

    Raises
    ------
    ConfigError
        When `state` has a ledger already, or the dispatcher of the copied ledger runs on this machine.
    BadInput
        When the backup cannot be used.
    """
    target = state / "ledger.sqlite"
    if any(state.glob("ledger.sqlite*")):  # a leftover write-ahead log would be replayed into the new ledger
        raise ConfigError(f"Cannot restore into {state}: it has a ledger already. Name a new folder with --state.")
    about = json.loads(_verified(source)["value"])
    _require_at_rest(source)
    lost = Path(about["state"]) / "ledger.sqlite"
    if about["host"] == socket.gethostname() and lost.exists():
        _require_at_rest(lost)
    private_folder(state)
    partial = state / f".restoring-{os.getpid()}.sqlite"
    private_file(partial)
    with closing(_read_only(source)) as copy, closing(sqlite3.connect(partial)) as new:
        copy.backup(new)
    for name, content in about["identities"].items():
        private_folder((state / name).parent)
        (state / name).write_text(content)
    ledger = Ledger(partial, create=True)
    with ledger.transaction() as tx:
        restored = _prepare(tx, state, now)
    ledger.connection.execute("PRAGMA journal_mode = DELETE")
    ledger.close()
    (state / "doorbell").unlink(missing_ok=True)
    try:
        target.hardlink_to(partial)  # unlike a rename, this replaces nothing
    except FileExistsError as error:
        raise ConfigError(
            f"Cannot restore into {state}: a dispatcher was started there meanwhile. Stop it, and name a new folder."
        ) from error
    finally:
        partial.unlink()
    return restored


def _prepare(tx: Transaction, state: Path, now: float) -> Restored:
    """Mark every open effect, and those of the coming week, so that executors ask first whether it was already done."""
    label = settings.setting(tx, BACKUP)
    assert label is not None
    taken = label.recorded
    settings.put(tx, RESTORED, {"taken": taken}, now)
    settings.forget(tx, BACKUP, BACKED_UP)
    tx.execute("UPDATE leases SET released = 1")
    opened = tx.execute(query("ask_about_effects")).rowcount
    _compute_again(tx, now)
    products = tx.execute("SELECT path FROM products WHERE path IS NOT NULL").fetchall()
    gone = [row["path"] for row in products if not Path(row["path"]).exists()]
    for row in tx.execute(query("perhaps_announced"), {"since": taken - ANNOUNCED}).fetchall():
        effects.ask_again(tx, RecallNotices(row["key"]), now)
    return Restored(str(state), taken, opened, len(gone))


def _compute_again(tx: Transaction, now: float) -> None:
    """Retry the jobs whose products were still to be uploaded but whose files are gone."""
    for row in tx.execute(query("uploads_to_come")).fetchall():
        if not Path(row["path"]).exists():
            job = jobs.get(tx, row["job"])
            assert job is not None
            tx.execute("DELETE FROM effects WHERE id = ?", (row["id"],))  # requested again when the job has ended
            jobs.try_again(tx, job, now)


def _require_at_rest(source: Path) -> None:
    try:
        with closing(_read_only(source)) as copy:
            copy.row_factory = sqlite3.Row
            holder = copy.execute("SELECT * FROM leases WHERE name = 'dispatcher' AND NOT released").fetchone()
    except sqlite3.Error:
        return  # an unreadable ledger may be the reason for the restore
    if holder is None or holder["host"] != socket.gethostname():
        return
    if pid_alive(holder["pid"], holder["pid_started"]):
        raise ConfigError(
            f"Cannot restore {source}: its dispatcher is running with pid {holder['pid']}, and a second one would "
            "do everything twice. Stop it first."
        )


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
