"""Lists that one pages and searches through: superevents, jobs, messages, dead letters.

A search looks for names that begin with what is asked for, so that indexes answer it.  Where few rows can match, they
are looked up; where many do, the newest are found by looking through the newest rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gwbatch.ledger import Ledger
from gwbatch.reports import query

FEW = 1000  # rows up to which they are looked up by their names
_LAST = "\U0010ffff"  # sorts after every other character
_NO_ROW = 2**62

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which rows.

    Attributes
    ----------
    words : str
        What a name begins with: of a superevent, event, job or topic.
    state, kind, label, category : str
        Exactly this one; empty: any.  A list ignores what its rows do not have.
    before : str
        Where the page before has ended; empty: the newest.
    """

    words: str = ""
    state: str = ""
    kind: str = ""
    label: str = ""
    category: str = ""
    before: str = ""
    limit: int = 50


@dataclass(frozen=True)
class Page:
    """Rows, newest first, and where the next page goes on; None at the end."""

    rows: list[Row]
    next: str | None


@dataclass
class _Where:
    """Conditions of a query with their values."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        self.conditions.append(condition)
        self.values += values

    def add_if(self, value: str, condition: str) -> None:
        if value:
            self.add(condition, value)

    @property
    def text(self) -> str:
        return " AND ".join(self.conditions) or "1"


@dataclass(frozen=True)
class _Search:
    """One way to find rows by a name, with ``{0}`` for the condition on names.

    Attributes
    ----------
    look_up : str
        Selects the numbers of the rows, by an index on the names.
    holds : str
        Whether it holds of a row that is looked through.
    """

    look_up: str
    holds: str
    names: tuple[str, list[str]]


def superevents(ledger: Ledger, wanted: Wanted) -> Page:
    """List superevents, by their own names, by those of their members, by category and label."""
    where = _Where()
    where.add("s.id < ?", _number(wanted.before))
    where.add_if(wanted.category, "s.category = ?")
    where.add_if(wanted.label, "s.id IN (SELECT id FROM superevent_labels WHERE label = ?)")
    if wanted.words:
        own, member = _names(wanted.words, "key", "graceid"), _names(wanted.words, "graceid")
        _narrow(ledger, where, "s.id", [
            _Search("SELECT id FROM superevents WHERE {0}", "{0}", own),
            _Search("SELECT id FROM superevents WHERE key IN (SELECT superevent FROM events WHERE {0})",
                    "EXISTS (SELECT 1 FROM events WHERE superevent = s.key AND {0})", member),
        ])  # fmt: skip
    rows = ledger.read(query("list_superevents").format(where=where.text), [*where.values, wanted.limit + 1])
    found = [{**dict(row), "labels": json.loads(row["labels"])} for row in rows]
    return _page(found, wanted, lambda row: str(row["id"]))


def jobs(ledger: Ledger, wanted: Wanted) -> Page:
    """List jobs, by their names and by those of the superevents that they are for, by state and kind."""
    where = _Where()
    created, _, rowid = wanted.before.partition("-")
    if wanted.before:
        where.add("(j.created, j.rowid) < (?, ?)", _real(created), _number(rowid))
    if wanted.kind and wanted.state:
        where.add("j.kind || ' ' || j.state = ?", f"{wanted.kind} {wanted.state.upper()}")
    else:
        where.add_if(wanted.state.upper(), "j.state || '' = ?")
        where.add_if(wanted.kind, "j.kind || '' = ?")
    if wanted.words:
        own, named = _names(wanted.words, "key"), _names(wanted.words, "graceid")
        _narrow(ledger, where, "j.rowid", [
            _Search("SELECT rowid FROM jobs WHERE {0}", "{0}", own),
            _Search("SELECT rowid FROM jobs WHERE subject IN (SELECT key FROM superevents WHERE {0})",
                    "EXISTS (SELECT 1 FROM superevents WHERE key = j.subject AND {0})", named),
            _Search("SELECT rowid FROM jobs WHERE subject IN (SELECT e.graceid FROM events AS e "
                    "JOIN superevents AS s ON s.key = e.superevent WHERE {0})",
                    "EXISTS (SELECT 1 FROM events AS e JOIN superevents AS s ON s.key = e.superevent "
                    "WHERE e.graceid = j.subject AND {0})", _names(wanted.words, "s.graceid")),
        ])  # fmt: skip
    rows = ledger.read(query("list_jobs").format(where=where.text), [*where.values, wanted.limit + 1])
    return _page([dict(row) for row in rows], wanted, lambda row: f"{row['created']!r}-{row['rowid']}")


def messages(ledger: Ledger, wanted: Wanted) -> Page:
    """List messages and what became of them in each lane, by topic, and by superevents that were decided about."""
    where = _Where()
    where.add("m.id < ?", _number(wanted.before))
    if wanted.words:
        topic = _names(wanted.words, "topic || ''")
        _narrow(ledger, where, "m.id", [
            _Search("SELECT id FROM messages WHERE {0}", "{0}", topic),
            _decided("", _names(wanted.words, "d.superevent")),
            _decided("JOIN superevents AS s ON s.key = d.superevent", _names(wanted.words, "s.graceid")),
            _decided("JOIN events AS e ON e.superevent = d.superevent", _names(wanted.words, "e.graceid")),
        ])  # fmt: skip
    found = []
    for row in ledger.read(query("list_messages").format(where=where.text), [*where.values, wanted.limit + 1]):
        deliveries = ledger.read(
            "SELECT lane, state, attempts, reason, decided FROM deliveries WHERE message_id = ?", (row["id"],)
        )
        decisions = ledger.read("SELECT action, superevent FROM decisions WHERE message_id = ?", (row["id"],))
        found.append({**dict(row), "deliveries": list(map(dict, deliveries)), "decisions": list(map(dict, decisions))})
    return _page(found, wanted, lambda row: str(row["id"]))


def _decided(join: str, names: tuple[str, list[str]]) -> _Search:
    """Select the messages on which something was decided about a superevent."""
    found = f"FROM decisions AS d {join} WHERE"
    return _Search(
        f"SELECT d.message_id {found} {{0}}", f"EXISTS (SELECT 1 {found} d.message_id = m.id AND {{0}})", names
    )


def dead_letters(ledger: Ledger, wanted: Wanted) -> Page:
    """List messages (``m17``) and effects (``e5``) that were given up, by any word in what they are and why they
    failed.
    """
    at, _, name = wanted.before.partition(" ")
    values = {"limit": wanted.limit + 1, "at": _real(at), "id": name, "words": wanted.words}
    found = [dict(row) for row in ledger.read(query("list_dead"), values)]
    return _page(found, wanted, lambda row: f"{row['at']!r} {row['id']}")


LISTINGS: dict[str, Callable[[Ledger, Wanted], Page]] = {
    "superevents": superevents, "jobs": jobs, "messages": messages, "deadletters": dead_letters,
}  # fmt: skip
"""Every list by its name."""


def _names(words: str, *columns: str) -> tuple[str, list[str]]:
    """Return a condition for columns that begin with what was typed, however its first letter was written."""
    beginnings = sorted({words, words[:1].upper() + words[1:]})
    conditions = [f"{column} >= ? AND {column} < ?" for column in columns for _ in beginnings]
    values = [value for _ in columns for one in beginnings for value in (one, one + _LAST)]
    return "(" + " OR ".join(conditions) + ")", values


def _narrow(ledger: Ledger, where: _Where, column: str, searches: Sequence[_Search]) -> None:
    """Let only rows pass that one of the searches finds."""
    found: set[int] = set()
    for one in searches:
        condition, values = one.names
        rows = ledger.read(f"{one.look_up.format(condition)} LIMIT {FEW + 1}", values)
        found |= {row[0] for row in rows if row[0] is not None}
    if len(found) <= FEW:
        where.add(f"{column} IN (SELECT value FROM json_each(?))", json.dumps(sorted(found)))
        return
    conditions = [one.holds.format(one.names[0]) for one in searches]
    where.add(" OR ".join(conditions).join("()"), *(value for one in searches for value in one.names[1]))


def _page(rows: list[Row], wanted: Wanted, cursor: Callable[[Row], str]) -> Page:
    shown = rows[: wanted.limit]
    return Page(shown, cursor(shown[-1]) if len(rows) > wanted.limit else None)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else _NO_ROW


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("inf")
