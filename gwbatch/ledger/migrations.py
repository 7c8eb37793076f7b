"""The schema's history: one SQL file a step, applied once each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from sqlite_utils import Database, Migrations

migrations = Migrations("gwbatch")


def _run(db: Database, name: str) -> None:
    for statement in _statements(files("gwbatch.ledger").joinpath("schema", name).read_text()):
        db.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one (`executescript` would commit the migration's transaction)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _step(name: str) -> None:
    migrations(name=name)(lambda db: _run(db, f"{name}.sql"))


_step("0001_initial")
_step("0002_remedies")
_step("0003_external")
_step("0004_latencies")
_step("0005_views")
_step("0006_troubles")
_step("0007_trust")
_step("0008_names")
_step("0009_public_notices")
_step("0010_standby")
_step("0011_listings")
