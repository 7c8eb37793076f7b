"""The sandbox's storage: one SQLite file, with an outbox of alerts written in the same transaction as their cause."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (id TEXT PRIMARY KEY, kind TEXT, seq INTEGER, data TEXT);
CREATE TABLE IF NOT EXISTS records (object TEXT, kind TEXT, n INTEGER, data TEXT, PRIMARY KEY (object, kind, n));
CREATE TABLE IF NOT EXISTS labels (object TEXT, name TEXT, creator TEXT, created TEXT, PRIMARY KEY (object, name));
CREATE TABLE IF NOT EXISTS files (
    object TEXT, name TEXT, version INTEGER, content BLOB, PRIMARY KEY (object, name, version)
);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER);
CREATE TABLE IF NOT EXISTS alerts (seq INTEGER PRIMARY KEY, topic TEXT, payload TEXT);
"""

USER = "sandbox.user"


def utc_now() -> str:
    """Return the current time in GraceDB's format."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class ApiError(Exception):
    """A request that GraceDB would refuse, with HTTP status and message; `keep` commits what it has done so far."""

    def __init__(self, status: int, message: str, *, keep: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.keep = keep


class Store:
    """Objects, their records, labels and files, and the alerts that changes cause."""

    def __init__(self, path: Path, address: str = "") -> None:
        self.address = address  # the server's address in alerts, whatever name a client uses for it
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of a request, or none after an error unless it is an `ApiError` with `keep`."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException as error:
            self._db.execute("COMMIT" if isinstance(error, ApiError) and error.keep else "ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ---- numbers -----------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Return the next value of a counter, from 1."""
        sql = "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return int(self._db.execute(sql, (name,)).fetchone()["value"])

    # ---- events and superevents --------------------------------------------------------------------------

    def put(self, kind: str, identifier: str, data: dict[str, Any]) -> None:
        """Write an object."""
        row = self._db.execute("SELECT seq FROM objects WHERE id = ?", (identifier,)).fetchone()
        seq = row["seq"] if row else self.count("objects")
        self._db.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", (identifier, kind, seq, json.dumps(data))
        )

    def get(self, kind: str, identifier: str) -> dict[str, Any]:
        """Return an object, or raise a 404 error if it does not exist."""
        row = self._db.execute("SELECT data FROM objects WHERE id = ? AND kind = ?", (identifier, kind)).fetchone()
        if row is None:
            raise ApiError(404, f"{kind.capitalize()} {identifier} not found")
        return dict(json.loads(row["data"]))

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all objects of a kind, newest first."""
        rows = self._db.execute("SELECT data FROM objects WHERE kind = ? ORDER BY seq DESC", (kind,))
        return [json.loads(row["data"]) for row in rows]

    # ---- records: logs, notices, signoffs ----------------------------------------------------------------

    def add_record(self, identifier: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Append a numbered record; its number goes into ``N``."""
        n = self.count(f"{identifier}/{kind}")
        data = {"N": n, **data}
        self._db.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (identifier, kind, n, json.dumps(data)))
        return data

    def put_record(self, identifier: str, kind: str, data: dict[str, Any]) -> None:
        """Rewrite a record."""
        self._db.execute(
            "UPDATE records SET data = ? WHERE object = ? AND kind = ? AND n = ?",
            (json.dumps(data), identifier, kind, data["N"]),
        )

    def remove_record(self, identifier: str, kind: str, n: int) -> None:
        """Delete a record."""
        self._db.execute("DELETE FROM records WHERE object = ? AND kind = ? AND n = ?", (identifier, kind, n))

    def records(self, identifier: str, kind: str) -> list[dict[str, Any]]:
        """Return all records of a kind."""
        rows = self._db.execute("SELECT data FROM records WHERE object = ? AND kind = ? ORDER BY n", (identifier, kind))
        return [json.loads(row["data"]) for row in rows]

    # ---- labels and files --------------------------------------------------------------------------------

    def labels(self, identifier: str) -> list[dict[str, str]]:
        """Return labels with who set them and when."""
        rows = self._db.execute(
            "SELECT name, creator, created FROM labels WHERE object = ? ORDER BY rowid", (identifier,)
        )
        return [dict(row) for row in rows]

    def add_label(self, identifier: str, name: str) -> bool:
        """Set a label; return False if it was already set."""
        sql = "INSERT OR IGNORE INTO labels VALUES (?, ?, ?, ?)"
        return self._db.execute(sql, (identifier, name, USER, utc_now())).rowcount == 1

    def remove_label(self, identifier: str, name: str) -> bool:
        """Remove a label; return False if it was not set."""
        return self._db.execute("DELETE FROM labels WHERE object = ? AND name = ?", (identifier, name)).rowcount == 1

    def add_file(self, identifier: str, name: str, content: bytes) -> int:
        """Store a new version of a file and return its number, from 0."""
        version = self.count(f"{identifier}/file/{name}") - 1
        self._db.execute("INSERT INTO files VALUES (?, ?, ?, ?)", (identifier, name, version, content))
        return version

    def file_versions(self, identifier: str) -> list[tuple[str, int]]:
        """Return names and versions of all files."""
        rows = self._db.execute(
            "SELECT name, version FROM files WHERE object = ? ORDER BY name, version", (identifier,)
        )
        return [(row["name"], row["version"]) for row in rows]

    def file(self, identifier: str, name: str, version: int | None) -> bytes:
        """Return a file's content, by default of its newest version, or raise a 404 error if there is none."""
        row = self._db.execute(
            "SELECT content FROM files WHERE object = ? AND name = ? AND version = coalesce(?, version) "
            "ORDER BY version DESC LIMIT 1",
            (identifier, name, version),
        ).fetchone()
        if row is None:
            raise ApiError(404, f"File {name} of {identifier} not found")
        return bytes(row["content"])

    # ---- outbox ------------------------------------------------------------------------------------------

    def add_alert(self, topic: str, payload: dict[str, Any]) -> None:
        """Add an alert to the outbox, to be published after this transaction."""
        self._db.execute("INSERT INTO alerts (topic, payload) VALUES (?, ?)", (topic, json.dumps(payload)))

    def alerts_after(self, seq: int) -> list[tuple[int, str, str]]:
        """Return the alerts after number `seq`, in the order of their causes."""
        rows = self._db.execute("SELECT seq, topic, payload FROM alerts WHERE seq > ? ORDER BY seq", (seq,))
        return [(row["seq"], row["topic"], row["payload"]) for row in rows]


def alerts_published(path: Path, topics: Iterable[str]) -> int:
    """Count the alerts that a sandbox in another process has put on these topics."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        counts = dict(db.execute("SELECT topic, count(*) FROM alerts GROUP BY topic").fetchall())
    return sum(counts.get(topic, 0) for topic in set(topics))
