"""The schema's history: one SQL file per step, each applied once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.resources import files

_SCHEMA = files("gwbatch.ledger").joinpath("schema")
_APPLIED = (
    'CREATE TABLE IF NOT EXISTS "_sqlite_migrations" (id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, '
    "applied_at TEXT, UNIQUE (migration_set, name))"
)


def steps() -> list[str]:
    """Return the names of all steps, in the order in which they are applied."""
    return sorted(entry.name.removesuffix(".sql") for entry in _SCHEMA.iterdir() if entry.name.endswith(".sql"))


def pending(connection: sqlite3.Connection) -> list[str]:
    """Return the steps that have not been applied to this ledger."""
    done: set[str] = set()
    with suppress(sqlite3.OperationalError):  # a new ledger has no such table yet
        done = {row[0] for row in connection.execute("SELECT name FROM _sqlite_migrations")}
    return [step for step in steps() if step not in done]


def apply(connection: sqlite3.Connection, wanted: Sequence[str]) -> None:
    """Apply steps, each in one transaction with the record that it was applied.

    The connection must be in autocommit mode (``isolation_level=None``).
    """
    connection.execute(_APPLIED)
    for step in wanted:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(_SCHEMA.joinpath(f"{step}.sql").read_text()):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gwbatch', ?, ?)",
                (step, str(datetime.now(UTC))),
            )
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    """Yield the script's statements one by one (`executescript` would commit the step's transaction)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
