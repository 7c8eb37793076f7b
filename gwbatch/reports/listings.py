"""Paged, searchable lists of superevents, jobs, messages and dead letters.

Except for dead letters, a search matches the beginnings of names, so an index can answer it. A search with few matches
looks them up by that index. A search with many matches scans the newest rows until the page is full.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gwbatch.ledger import Ledger
from gwbatch.reports import query

FEW = 1000  # most rows that are looked up by name
_LAST = "\U0010ffff"  # sorts after every other character
_NO_ROW = 2**62

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """The rows that a list should show.

    Attributes
    ----------
    words : str
        Beginning of the name of a superevent, event, job or topic. For dead letters, any part of their description or
        reason.
    state, kind, label, category : str
        The exact value; empty for any. A list ignores fields that its rows do not have.
    before : str
        Cursor from the previous page (`Page.next`); empty for the newest rows.
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
    """Rows, newest first, and the cursor for the next page (None on the last page)."""

    rows: list[Row]
    next: str | None


@dataclass
class _Where:
    """Conditions of a query, with their values."""

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
    """One way to find rows by name; ``{0}`` stands for the condition on the names.

    Attributes
    ----------
    look_up : str
        Query for the numbers of the rows, by an index on the names.
    holds : str
        Condition that tells whether a scanned row matches.
    """

    look_up: str
    holds: str
    names: tuple[str, list[str]]


def superevents(ledger: Ledger, wanted: Wanted) -> Page:
    """List superevents, searched by their own or their members' names and filtered by category and label."""
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
    """List jobs, searched by their own or their superevents' names and filtered by state and kind."""
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
    """List messages with their outcome in each lane, searched by topic or by the superevent decided on."""
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
    """Return the search for messages that led to a decision about a superevent."""
    found = f"FROM decisions AS d {join} WHERE"
    return _Search(
        f"SELECT d.message_id {found} {{0}}", f"EXISTS (SELECT 1 {found} d.message_id = m.id AND {{0}})", names
    )


def dead_letters(ledger: Ledger, wanted: Wanted) -> Page:
    """List dead messages (``m17``) and effects (``e5``), searched by any part of their description and reason."""
    at, _, name = wanted.before.partition(" ")
    values = {"limit": wanted.limit + 1, "at": _real(at), "id": name, "words": wanted.words}
    found = [dict(row) for row in ledger.read(query("list_dead"), values)]
    return _page(found, wanted, lambda row: f"{row['at']!r} {row['id']}")


LISTINGS: dict[str, Callable[[Ledger, Wanted], Page]] = {
    "superevents": superevents, "jobs": jobs, "messages": messages, "deadletters": dead_letters,
}  # fmt: skip
"""All lists by name."""


def _names(words: str, *columns: str) -> tuple[str, list[str]]:
    """Return the condition that one of the columns begins with `words`, and its values.

    If the first letter is in lower case, the condition accepts its upper case too.
    """
    beginnings = sorted({words, words[:1].upper() + words[1:]})
    conditions = [f"{column} >= ? AND {column} < ?" for column in columns for _ in beginnings]
    values = [value for _ in columns for one in beginnings for value in (one, one + _LAST)]
    return "(" + " OR ".join(conditions) + ")", values


def _narrow(ledger: Ledger, where: _Where, column: str, searches: Sequence[_Search]) -> None:
    """Restrict a query to rows that at least one of the searches finds."""
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
