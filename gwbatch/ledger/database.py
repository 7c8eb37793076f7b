"""The ledger file: how it is opened, and transactions on it."""

from __future__ import annotations

import fcntl
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gwbatch.errors import ConfigError, LedgerBusy, LedgerUnwritable
from gwbatch.ledger import migrations
from gwbatch.ledger.doorbell import Doorbell
from gwbatch.ledger.filesystem import refuse_network_filesystem
from gwbatch.private import private_file, private_folder

Transaction = sqlite3.Connection
"""A connection inside ``BEGIN IMMEDIATE``, on which the functions of the ledger's modules work."""


class Ledger:
    """The ledger file, with one connection per thread.

    With a write-ahead log and ``synchronous = FULL``, a committed transaction survives a power cut.  Writers take the
    lock when they begin (``BEGIN IMMEDIATE``), so a decision never reads what another writer is about to change.

    Parameters
    ----------
    path : Path or None
        The file; None keeps everything in memory, for a scratch ledger that only this thread uses.
    create : bool
        Create the file, or bring its schema up to date.
    busy_timeout : float
        Seconds that a writer waits for another.

    Raises
    ------
    NetworkFileSystem
        When the file lies on a network file system.
    ConfigError
        When `create` is false, and there is no ledger at `path` or its schema is out of date.
    """

    def __init__(self, path: Path | None, *, create: bool = False, busy_timeout: float = 20.0) -> None:
        self.path = path
        self.doorbell = None if path is None else Doorbell(path.parent / "doorbell")
        self._timeout = busy_timeout
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        if path is None:
            self._local.connection = self._connect(":memory:")
            migrations.apply(self._local.connection, migrations.steps())
        elif create:
            refuse_network_filesystem(path.parent)
            private_folder(path.parent)
            with (path.parent / "ledger.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # before the ledger exists, so that others wait for its tables
                for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                    if name == path.name or (path.parent / name).exists():
                        private_file(path.parent / name)
                migrations.apply(self.connection, migrations.pending(self.connection))
        elif not path.exists():
            raise ConfigError(
                f"There is no ledger at {path}. Start a dispatcher there first: gwbatch run --state {path.parent}"
            )
        else:
            _require_current(self.connection, path)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(str(self.path))
        return connection

    def _connect(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(name, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        _write_ahead(connection, self._timeout)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        with self._lock:
            self._connections.append(connection)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open one write transaction, which takes effect as a whole or not at all.

        Raises
        ------
        LedgerBusy
            When another writer kept the lock for longer than the busy timeout.
        LedgerUnwritable
            When the disk is full or broken.
        """
        connection = self.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise LedgerBusy(
                    f"The ledger {self.path} stayed locked for {self._timeout:g} s; trying again later."
                ) from error
            raise
        changes = connection.total_changes
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if _out_of_order(error):
                raise LedgerUnwritable(
                    f"The ledger {self.path} cannot be written: {error}. Nothing is lost; make room or repair the disk."
                ) from error
            raise
        if self.doorbell is not None and connection.total_changes != changes:
            self.doorbell.ring()

    def read(self, sql: str, parameters: Any = ()) -> list[sqlite3.Row]:
        """Read the rows of one query, outside of any write transaction."""
        return self.connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the connections of all threads; they must have stopped using them."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        if self.doorbell is not None:
            self.doorbell.close()
        self._local = threading.local()


def require_transaction(tx: Transaction, cause: BaseException | None = None) -> None:
    """Raise `LedgerUnwritable` unless the transaction is still open; SQLite ends it when the disk is full or broken."""
    if not tx.in_transaction:
        raise LedgerUnwritable(f"The transaction ended unexpectedly ({cause or 'by a handler'}).") from cause


def _out_of_order(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, sqlite3.Error) and code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
    )


def _write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch to a write-ahead log; retry, because SQLite's timeout does not cover other users of a new ledger."""
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _require_current(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a ledger with an old schema, which a dispatcher's start migrates; wait if one is doing so now."""
    if not migrations.pending(connection):
        return
    with suppress(OSError), (path.parent / "ledger.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    if migrations.pending(connection):
        raise ConfigError(
            f"The ledger {path} was made by an earlier version of gwbatch. Start the dispatcher there, which "
            f"migrates it: gwbatch run --state {path.parent}"
        )


@cache
def queries(package: str) -> Callable[[str], str]:
    """Return a function that returns the SQL of a named block in the package's ``queries.sql``."""

    @cache
    def blocks() -> dict[str, str]:
        text = files(package).joinpath("queries.sql").read_text()
        parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
        return dict(zip(parts[::2], parts[1::2], strict=True))

    return lambda name: blocks()[name]


query = queries("gwbatch.ledger")
