"""The table of a campaign: one row an event, written by the owner alone.

A rollback journal, and no memory shared between machines: the file may lie on a network file system, and anybody may
read it at any time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.errors import BadInput, LeaseLost, TransientError
from gwbatch.jobs.result import sync

WAITING, DEALT, DONE, SET_ASIDE = "waiting", "dealt", "done", "set aside"
STATES = (WAITING, DEALT, DONE, SET_ASIDE)
BUSY = 60.0  # s
_SCHEMA = """
CREATE TABLE campaign (key TEXT NOT NULL, owner INTEGER NOT NULL);
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE rejected (path TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    file INTEGER NOT NULL REFERENCES files,
    coinc INTEGER NOT NULL,
    detectors TEXT NOT NULL,
    samples INTEGER NOT NULL,
    predicted REAL NOT NULL,  -- CPU s
    snr REAL,
    far REAL,                 -- Hz
    truth TEXT,               -- JSON: simulation_id, ra (rad), dec (rad), distance (Mpc)
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    holder TEXT,              -- node or chunk that has it
    cpu REAL,                 -- s
    wall REAL,                -- s
    memory REAL,              -- MB
    finished REAL,            -- Unix time, s
    facts TEXT,               -- JSON: by product
    reason TEXT
);
CREATE INDEX events_by_state ON events (state, predicted DESC);
CREATE TABLE collected (chunk TEXT PRIMARY KEY);
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    events INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    cpu REAL NOT NULL DEFAULT 0,
    at_fault TEXT
);
"""


ATTEMPTS = 3  # the last one alone on a node
INTERRUPTIONS = 3  # from then on alone, for it may be the event that ends whoever holds it


def judged(outcome: Outcome, attempts: int) -> tuple[str, int]:
    """Return an event's state and number of attempts after an outcome."""
    if outcome.how == "done":
        return DONE, attempts
    if outcome.how == "stopped":
        return WAITING, attempts
    attempts = ATTEMPTS if outcome.how == "bad-input" else attempts + 1
    return (SET_ASIDE if attempts >= ATTEMPTS else WAITING), attempts


def is_dangerous(attempts: int, interruptions: int) -> bool:
    """Return whether an event must run alone on its node."""
    return attempts >= ATTEMPTS - 1 or interruptions >= INTERRUPTIONS


class EventRow(NamedTuple):
    """An event as it is planned; units as in the table."""

    id: int
    name: str
    file: int
    coinc: int
    detectors: str
    samples: int
    predicted: float
    snr: float | None
    far: float | None
    truth: Mapping[str, Any] | None


class Table:
    """The table, for its owner.

    Parameters
    ----------
    owner : int
        The lease's number: a larger one in the table ends us before the next write.
    """

    def __init__(self, path: Path, owner: int = 0) -> None:
        self._path, self.owner = path, owner
        self.connection = _open(path)
        if owner:
            with self._writing():
                self.connection.execute("UPDATE campaign SET owner = ?", (owner,))

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Open one transaction of the owner.

        Raises
        ------
        LeaseLost
            If there is another one.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransientError(f"Cannot write {self._path}: {error}. Try again later.") from error
        try:
            ((owner,),) = self.connection.execute("SELECT owner FROM campaign")
            if owner > self.owner:
                raise LeaseLost(f"Another process has taken over {self._path.parent}: this one ends.")
            yield
            self.connection.commit()
        except sqlite3.OperationalError as error:
            self.connection.rollback()
            raise TransientError(f"Cannot write {self._path}: {error}. Try again later.") from error
        except BaseException:
            self.connection.rollback()
            raise

    # ---- what there is to do --------------------------------------------------------------------------------------

    def waiting(self) -> list[tuple[int, str, float]]:
        """Return (id, detectors, predicted) of what waits, the longest first."""
        order = "SELECT id, detectors, predicted FROM events WHERE state = ? ORDER BY predicted DESC, id"
        return [tuple(row) for row in self.connection.execute(order, (WAITING,))]

    def tasks(self, ids: Iterable[int], products: list[str]) -> dict[int, tuple[Task, int, int]]:
        """Return the tasks of some events, with their attempts and interruptions so far."""
        listed = ",".join(map(str, ids))
        rows = self.connection.execute(
            "SELECT e.id, f.path, f.sha256, e.coinc, e.predicted, e.truth, e.attempts, e.interruptions "
            f"FROM events e JOIN files f ON f.id = e.file WHERE e.id IN ({listed})"
        )
        return {
            row["id"]: (
                Task(
                    row["id"],
                    row["path"],
                    row["sha256"],
                    row["coinc"],
                    products,
                    row["predicted"],
                    json.loads(row["truth"]) if row["truth"] else None,
                ),
                row["attempts"],
                row["interruptions"],
            )
            for row in rows
        }

    def done_without(self, products: Sequence[str]) -> list[int]:
        """Return the events that are done and have none of some products."""
        return done_without(self.connection, products)

    def again(self, ids: Iterable[int]) -> None:
        """Have events made again, whatever became of them."""
        with self._writing():
            self.connection.executemany(
                "UPDATE events SET state = ?, attempts = 0, interruptions = 0, facts = NULL, cpu = NULL, wall = NULL "
                "WHERE id = ?",
                [(WAITING, event) for event in ids],
            )

    def interrupted(self) -> None:
        """Take back what was in hand when the last owner ended without a word."""
        with self._writing():
            self.connection.execute(
                "UPDATE events SET state = ?, holder = NULL, interruptions = interruptions + 1 WHERE state = ?",
                (WAITING, DEALT),
            )

    def retry(self, ids: Iterable[int] | None = None) -> int:
        """Bring back what was set aside; returns how many events."""
        chosen = "" if ids is None else f" AND id IN ({','.join(map(str, ids))})"
        with self._writing():
            return self.connection.execute(
                f"UPDATE events SET state = ?, attempts = 0, interruptions = 0, reason = NULL WHERE state = ?{chosen}",
                (WAITING, SET_ASIDE),
            ).rowcount

    def forgive_nodes(self) -> None:
        """Give every node work again."""
        with self._writing():
            self.connection.execute("UPDATE nodes SET at_fault = NULL")

    # ---- what became of it ----------------------------------------------------------------------------------------

    def write(
        self,
        dealt: Mapping[int, str],
        settled: Iterable[Settled],
        nodes: Mapping[str, NodeFacts],
    ) -> None:
        """Write a batch: who has which event, what became of others, and how nodes do."""
        with self._writing():
            self.connection.executemany(
                "UPDATE events SET state = 'dealt', holder = ? WHERE id = ? AND state <> 'done'",
                [(holder, event) for event, holder in dealt.items()],
            )
            for one in settled:
                self._settle(one)
            self.connection.executemany(
                "INSERT INTO nodes (name, events, failures, cpu, at_fault) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET events = excluded.events, failures = excluded.failures, "
                "cpu = excluded.cpu, at_fault = excluded.at_fault",
                [(name, *facts) for name, facts in nodes.items()],
            )

    def take_in(self, chunk: str, worker: str, outcomes: Iterable[Outcome], at: float) -> int:
        """Write what became of a chunk, once; returns how many events that are."""
        events = 0
        with self._writing():
            new = self.connection.execute("INSERT OR IGNORE INTO collected VALUES (?)", (chunk,)).rowcount
            for outcome in outcomes if new else ():
                known = self.connection.execute(
                    "SELECT attempts, interruptions FROM events WHERE id = ? AND state <> 'done'", (outcome.id,)
                ).fetchone()
                if known is not None:
                    state, attempts = judged(outcome, known["attempts"])
                    self._settle(Settled(outcome, state, attempts, known["interruptions"], worker, at))
                    events += 1
        return events

    def take_back_chunks(self) -> None:
        """Put events of chunks that nobody has any more back among those that wait."""
        with self._writing():
            self.connection.execute("UPDATE events SET state = ?, holder = NULL WHERE state = ?", (WAITING, DEALT))

    def _settle(self, one: Settled) -> None:
        outcome = one.outcome
        common = (one.state, one.attempts, one.interruptions, outcome.reason or None)
        if one.state == DONE:
            self.connection.execute(
                "UPDATE events SET state = ?, attempts = ?, interruptions = ?, reason = ?, holder = ?, "
                "cpu = ifnull(cpu, 0) + ?, wall = ifnull(wall, 0) + ?, memory = max(ifnull(memory, 0), ?), "
                "finished = ?, facts = json_patch(ifnull(facts, '{}'), ?) WHERE id = ?",
                (
                    *common, one.node, outcome.cpu, outcome.wall, outcome.memory, one.at, json.dumps(outcome.facts),
                    outcome.id,
                ),
            )  # fmt: skip
            return
        self.connection.execute(
            "UPDATE events SET state = ?, attempts = ?, interruptions = ?, reason = ?, holder = ? "
            "WHERE id = ? AND state <> 'done'",
            (*common, one.node, outcome.id),
        )

    def nodes(self) -> dict[str, NodeFacts]:
        """Return what is known of the nodes so far."""
        rows = self.connection.execute("SELECT name, events, failures, cpu, at_fault FROM nodes")
        return {row["name"]: NodeFacts(row["events"], row["failures"], row["cpu"], row["at_fault"]) for row in rows}


class Settled(NamedTuple):
    """What became of an event."""

    outcome: Outcome
    state: str
    attempts: int
    interruptions: int
    node: str
    at: float


class NodeFacts(NamedTuple):
    """How a node does: events done, failures in a row, CPU s, and why it gets no more."""

    events: int = 0
    failures: int = 0
    cpu: float = 0.0
    at_fault: str | None = None


def create(
    path: Path, key: str, files: Iterable[tuple[str, str]], events: Iterable[EventRow], rejected: Mapping[str, str]
) -> None:
    """Write a new table; it is there whole or not at all.

    Parameters
    ----------
    files : iterable of (path, SHA-256)
        In the order of `EventRow.file`, which begins with 1.
    rejected : mapping
        Files that cannot be read, and why.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    connection = sqlite3.connect(temporary, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO campaign VALUES (?, 0)", (key,))
    connection.executemany("INSERT INTO files (path, sha256) VALUES (?, ?)", files)
    connection.executemany("INSERT INTO rejected VALUES (?, ?)", rejected.items())
    connection.executemany(
        "INSERT INTO events (id, name, file, coinc, detectors, samples, predicted, snr, far, truth) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((*row[:-1], None if row.truth is None else json.dumps(row.truth)) for row in events),
    )
    connection.commit()
    connection.close()
    sync(temporary)
    temporary.replace(path)


def _open(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    if not path.exists():
        raise BadInput(f"Cannot find the table {path}. Make a campaign with 'gwbatch campaign plan'.")
    # After an owner that was killed the first one to open the table rolls its last transaction back.
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Look into the table, beside whoever owns it."""
    connection = _open(path, read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def owner_of(path: Path) -> int:
    """Return the number of the last owner that wrote the table."""
    with reading(path) as connection:
        ((owner,),) = connection.execute("SELECT owner FROM campaign")
        return int(owner)


def done_without(connection: sqlite3.Connection, products: Sequence[str]) -> list[int]:
    """Return the events that are done and have none of some products."""
    lacking = " ".join("AND json_type(facts, ?) IS NULL" for _ in products)
    order = f"SELECT id FROM events WHERE state = ? {lacking} ORDER BY id"
    return [row["id"] for row in connection.execute(order, (DONE, *(f'$."{name}"' for name in products)))]


def counts(connection: sqlite3.Connection) -> Counter[str]:
    """Return how many events are in which state."""
    rows = connection.execute("SELECT state, count(*) AS n FROM events GROUP BY state")
    return Counter({row["state"]: row["n"] for row in rows})
