"""The table of a campaign, with one row per event, which only the owner writes.

It uses a rollback journal, which needs no shared memory.  The file may therefore be on a network file system, and any
process may read it at any time.
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
-- The dealer reads only the first of these indexes, and status only the second.
CREATE INDEX events_by_state ON events (state, predicted DESC, id, detectors);
CREATE INDEX events_by_cost ON events (state, detectors, predicted, cpu, wall);
CREATE TABLE collected (chunk TEXT PRIMARY KEY);
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    events INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    cpu REAL NOT NULL DEFAULT 0,
    at_fault TEXT
);
"""


ATTEMPTS = 3  # the last one runs alone on a node
INTERRUPTIONS = 3  # an event with this many runs alone, because it may be what kills its node or worker


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
    """A planned event, in the units of the table."""

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
    """The table as its owner uses it.

    Parameters
    ----------
    owner : int
        Number of the lease.  If the table holds a larger one, the next write fails with `LeaseLost`.
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
        """Run one transaction as the owner.

        Raises
        ------
        LeaseLost
            If the table has a newer owner.
        TransientError
            If the table cannot be written at the moment.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise TransientError(f"Cannot write {self._path}: {error}. Try again later.") from error
        try:
            ((owner,),) = self.connection.execute("SELECT owner FROM campaign")
            if owner > self.owner:
                raise LeaseLost(f"Another process has taken over {self._path.parent}, so this one ends.")
            yield
            self.connection.commit()
        except sqlite3.OperationalError as error:
            self.connection.rollback()
            raise TransientError(f"Cannot write {self._path}: {error}. Try again later.") from error
        except BaseException:
            self.connection.rollback()
            raise

    # ---- events to do ---------------------------------------------------------------------------------------------

    def waiting(self) -> list[tuple[int, str, float]]:
        """Return (id, detectors, predicted) of all waiting events, longest first."""
        order = "SELECT id, detectors, predicted FROM events WHERE state = ? ORDER BY predicted DESC, id"
        return [tuple(row) for row in self.connection.execute(order, (WAITING,))]

    def tasks(self, ids: Iterable[int], products: list[str]) -> dict[int, tuple[Task, int, int]]:
        """Return the task, attempts and interruptions of each of these events."""
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

    def undone(self, ids: Iterable[int]) -> list[int]:
        """Return those of the events that are not done yet."""
        listed = ",".join(map(str, ids))
        rows = self.connection.execute(f"SELECT id FROM events WHERE id IN ({listed}) AND state <> ?", (DONE,))
        return [row["id"] for row in rows]

    def done_without(self, products: Sequence[str]) -> list[int]:
        """Return the events that are done but have none of these products."""
        return done_without(self.connection, products)

    def again(self, ids: Iterable[int]) -> None:
        """Reset events so that they are done again, whatever their state."""
        with self._writing():
            self.connection.executemany(
                "UPDATE events SET state = ?, attempts = 0, interruptions = 0, facts = NULL, cpu = NULL, wall = NULL "
                "WHERE id = ?",
                [(WAITING, event) for event in ids],
            )

    def interrupted(self) -> None:
        """Let events wait again that were dealt when the last owner ended, and count one interruption for each."""
        with self._writing():
            self.connection.execute(
                "UPDATE events SET state = ?, holder = NULL, interruptions = interruptions + 1 WHERE state = ?",
                (WAITING, DEALT),
            )

    def retry(self, ids: Iterable[int] | None = None) -> int:
        """Let events that were set aside wait again, and return their number."""
        chosen = "" if ids is None else f" AND id IN ({','.join(map(str, ids))})"
        with self._writing():
            return self.connection.execute(
                f"UPDATE events SET state = ?, attempts = 0, interruptions = 0, reason = NULL WHERE state = ?{chosen}",
                (WAITING, SET_ASIDE),
            ).rowcount

    def forgive_nodes(self) -> None:
        """Clear the fault of every node, so that it gets work again."""
        with self._writing():
            self.connection.execute("UPDATE nodes SET at_fault = NULL")

    # ---- outcomes -------------------------------------------------------------------------------------------------

    def write(
        self,
        dealt: Mapping[int, str],
        settled: Iterable[Settled],
        nodes: Mapping[str, NodeFacts],
    ) -> None:
        """Write a batch of changes: the holders of dealt events, settled events, and the nodes' statistics."""
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
        """Write the outcomes of a chunk unless they are already there, and return the number of events settled."""
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
        """Let all events marked as dealt wait again.  Call this only when no chunk is left."""
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
        """Return the statistics of every node."""
        rows = self.connection.execute("SELECT name, events, failures, cpu, at_fault FROM nodes")
        return {row["name"]: NodeFacts(row["events"], row["failures"], row["cpu"], row["at_fault"]) for row in rows}


class Settled(NamedTuple):
    """The outcome of an event with its new state; `at` is Unix time (s)."""

    outcome: Outcome
    state: str
    attempts: int
    interruptions: int
    node: str
    at: float


class NodeFacts(NamedTuple):
    """A node's statistics: events done, failures in a row, CPU s, and why it gets no more work."""

    events: int = 0
    failures: int = 0
    cpu: float = 0.0
    at_fault: str | None = None


def create(
    path: Path, key: str, files: Iterable[tuple[str, str]], events: Iterable[EventRow], rejected: Mapping[str, str]
) -> None:
    """Write a new table atomically.

    Parameters
    ----------
    files : iterable of (path, SHA-256)
        In the order of `EventRow.file`, which starts at 1.
    rejected : mapping
        Files and events that cannot be used, and why.
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
    # Open for writing even to read, if permitted. If an owner was killed, the next process must roll back its journal.
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
    """Open the table for reading, which is safe while the owner writes it."""
    connection = _open(path, read_only=True)
    try:
        yield connection
    finally:
        connection.close()


def owner_of(path: Path) -> int:
    """Return the lease number of the last owner that wrote the table."""
    with reading(path) as connection:
        ((owner,),) = connection.execute("SELECT owner FROM campaign")
        return int(owner)


def done_without(connection: sqlite3.Connection, products: Sequence[str]) -> list[int]:
    """Return the events that are done but have none of these products."""
    lacking = " ".join("AND json_type(facts, ?) IS NULL" for _ in products)
    order = f"SELECT id FROM events WHERE state = ? {lacking} ORDER BY id"
    return [row["id"] for row in connection.execute(order, (DONE, *(f'$."{name}"' for name in products)))]


def summed_work(connection: sqlite3.Connection) -> list[tuple[str, str, float, float]]:
    """Return, by state and detectors, the sums of the events' predicted CPU s and of the wall s that they took."""
    # In this order, SQLite reads the index alone.
    sums = "SELECT state, detectors, sum(predicted), sum(ifnull(wall, 0)) FROM events GROUP BY state, detectors"
    return [tuple(row) for row in connection.execute(sums)]


def counts(connection: sqlite3.Connection) -> Counter[str]:
    """Return the number of events in each state."""
    rows = connection.execute("SELECT state, count(*) AS n FROM events GROUP BY state")
    return Counter({row["state"]: row["n"] for row in rows})
