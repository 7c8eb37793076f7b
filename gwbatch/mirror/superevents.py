"""The mirror of GraceDB's superevents, events and products, as rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gwbatch.keys import is_our_superevent
from gwbatch.ledger import Transaction
from gwbatch.mirror import public_notices, query
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import Action, Decision
from gwbatch.superevents.candidate import Event, Superevent, parse_event
from gwbatch.superevents.manager import apply, merge

SHAPE = ("t_start", "t_0", "t_end", "preferred")
"""The values that define a superevent, besides its members and labels."""


class SupereventStore:
    """The mirror inside one transaction, which is also the superevent manager's view."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    # ---- superevents ----------------------------------------------------------------------------------

    def superevent(self, key: str) -> Superevent | None:
        """Return a superevent by its local key, or by the key of one that was merged into it."""
        return self._one(
            "SELECT * FROM superevents WHERE key = coalesce((SELECT superevent FROM aliases WHERE key = ?), ?)",
            (key, key),
        )

    def superevent_named(self, superevent_id: str) -> Superevent | None:
        """Return a superevent by its GraceDB id."""
        return self._one("SELECT * FROM superevents WHERE graceid = ?", (superevent_id,))

    def superevent_of(self, graceid: str) -> Superevent | None:
        """Return the superevent that an event belongs to."""
        return self._one(
            "SELECT s.* FROM superevents AS s JOIN events AS e ON e.superevent = s.key WHERE e.graceid = ?",
            (graceid,),
        )

    def superevents_near(self, category: str, t_0: float, within: float) -> list[Superevent]:
        """Return superevents of a category whose t_0 is at most `within` (s) from `t_0` (GPS s), oldest first."""
        rows = self.tx.execute(
            query("superevents_near"), {"category": category, "low": t_0 - within, "high": t_0 + within}
        )
        return [self._superevent(row) for row in rows.fetchall()]

    def created_since(self, since: float) -> list[tuple[str, str | None]]:
        """Return local key and GraceDB id of the superevents known since a Unix time (s), newest first."""
        return [
            (row["key"], row["graceid"]) for row in self.tx.execute(query("superevents_since"), (since,)).fetchall()
        ]

    def count(self, category: str, until: float) -> int:
        """Count the superevents of a category with a ``t_0`` up to this GPS time (s)."""
        sql = "SELECT count(*) FROM superevents WHERE category = ? AND t_0 <= ?"
        return int(self.tx.execute(sql, (category, until)).fetchone()[0])

    def superevents(self) -> list[Superevent]:
        """Return all superevents, in order of creation."""
        return [self._superevent(row) for row in self.tx.execute("SELECT * FROM superevents ORDER BY id").fetchall()]

    def put_superevent(self, superevent: Superevent, now: float) -> None:
        """Write a superevent's own values (not its membership)."""
        self.tx.execute(
            query("put_superevent"),
            {
                "key": superevent.key,
                "graceid": superevent.superevent_id,
                "category": superevent.category,
                "t_start": superevent.t_start,
                "t_0": superevent.t_0,
                "t_end": superevent.t_end,
                "preferred": superevent.preferred,
                "labels": json.dumps(superevent.labels),
                "now": now,
            },
        )

    def apply(self, decision: Decision, now: float) -> None:
        """Apply a decision of the superevent manager to the mirror."""
        if decision.superevent is None or decision.action in (Action.DROP, Action.NONE):
            return
        if "merges" in decision.detail:
            self.merge(decision.detail["merges"], decision.superevent, now)
            return
        after = apply(self.superevent(decision.superevent), decision)
        if after is None:
            return
        self.put_superevent(after, now)
        if decision.action in (Action.CREATE, Action.ADD_EVENT):
            self.join(decision.detail["event"], after.key)
        shape = {name: getattr(after, name) for name in _written(decision, after)}
        if shape:
            self.set_pending(after.key, {**self.pending_writes(after.key), **shape})

    def pending_writes(self, key: str) -> dict[str, Any]:
        """Return the values that we decided for a superevent and that no GraceDB alert has shown yet."""
        return {name: value for name, value in self._pending(key).items() if name in SHAPE}

    def _pending(self, key: str) -> dict[str, Any]:
        row = self.tx.execute("SELECT pending_writes FROM superevents WHERE key = ?", (key,)).fetchone()
        return {} if row is None else dict(json.loads(row["pending_writes"]))

    def written_since(self, key: str) -> float | None:
        """Return when the write of our newest decision to GraceDB began (Unix s); None until it has succeeded."""
        return self._pending(key).get("written")

    def note_written(self, key: str, since: float, shape: Mapping[str, Any]) -> None:
        """Note that a write that began at `since` has succeeded, unless something else was decided meanwhile."""
        superevent = self.superevent(key)
        if superevent is None:
            return
        pending = self.pending_writes(superevent.key)
        if pending and all(shape.get(name, value) == value for name, value in pending.items()):
            self.set_pending(superevent.key, {**pending, "written": since})

    def set_pending(self, key: str, shape: Mapping[str, Any]) -> None:
        """Record what GraceDB's alerts have yet to show; until they do, they are older than our decision."""
        self.tx.execute("UPDATE superevents SET pending_writes = ? WHERE key = ?", (json.dumps(dict(shape)), key))

    def join(self, graceid: str, superevent: str) -> None:
        """Make an event a member of a superevent."""
        self.tx.execute(query("join_superevent"), {"graceid": graceid, "superevent": superevent})

    def name_superevent(self, key: str, superevent_id: str, now: float) -> None:
        """Store the GraceDB id that a create effect returned, and merge with a superevent already known by that id."""
        ours, same = self.superevent(key), self.superevent_named(superevent_id)
        if ours is not None and same is not None and same.key != ours.key:
            self.merge(ours.key, same.key, now)
        elif ours is not None:
            self.put_superevent(replace(ours, superevent_id=superevent_id), now)

    def merge(self, gone: str, kept: str, now: float) -> None:
        """Merge two descriptions of one superevent; the key that goes remains as an alias."""
        first, second = self.superevent(gone), self.superevent(kept)
        if first is None or second is None or first.key == second.key:
            return
        for graceid in first.events:
            self.join(graceid, second.key)
        self.tx.execute("DELETE FROM superevents WHERE key = ?", (first.key,))
        self.tx.execute(
            "UPDATE OR REPLACE coincidences SET superevent = ? WHERE superevent = ?", (second.key, first.key)
        )
        public_notices.merge(self.tx, first.key, second.key)
        self.tx.execute("UPDATE aliases SET superevent = ? WHERE superevent = ?", (second.key, first.key))
        self.tx.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (first.key, second.key))
        self.put_superevent(merge(first, second), now)

    def leave(self, graceid: str, superevent: str) -> None:
        """Record that an event is no longer a member."""
        self.tx.execute(
            "UPDATE events SET superevent = NULL WHERE graceid = ? AND superevent = ?", (graceid, superevent)
        )

    def _one(self, sql: str, parameters: tuple[Any, ...]) -> Superevent | None:
        row = self.tx.execute(sql, parameters).fetchone()
        return None if row is None else self._superevent(row)

    def _superevent(self, row: Any) -> Superevent:
        members = self.tx.execute("SELECT graceid FROM events WHERE superevent = ? ORDER BY position", (row["key"],))
        return Superevent(
            row["key"],
            row["category"],
            row["t_start"],
            row["t_0"],
            row["t_end"],
            row["preferred"],
            tuple(member["graceid"] for member in members),
            tuple(json.loads(row["labels"])),
            row["graceid"],
        )

    # ---- events ---------------------------------------------------------------------------------------

    def event_data(self, graceid: str) -> dict[str, Any] | None:
        """Return an event as the newest alert described it."""
        row = self.tx.execute("SELECT data FROM events WHERE graceid = ?", (graceid,)).fetchone()
        return None if row is None else json.loads(row["data"])

    def event(self, graceid: str) -> Event | None:
        """Return an event, parsed."""
        data = self.event_data(graceid)
        return None if data is None else parse_event(data)

    def put_event(self, data: Mapping[str, Any], now: float) -> None:
        """Store an event's newest description."""
        self.tx.execute(query("put_event"), {"graceid": data["graceid"], "data": json.dumps(data), "now": now})

    # ---- products -------------------------------------------------------------------------------------

    def product(self, subject: str, name: str) -> StoredProduct | None:
        """Return a product of an event or superevent."""
        row = self.tx.execute("SELECT * FROM products WHERE subject = ? AND name = ?", (subject, name)).fetchone()
        return None if row is None else _product(row)

    def products(self, subject: str) -> dict[str, StoredProduct]:
        """Return all products of an event or superevent, by name."""
        rows = self.tx.execute("SELECT * FROM products WHERE subject = ?", (subject,))
        return {row["name"]: _product(row) for row in rows.fetchall()}

    def note_uploaded(self, subject: str, filename: str, version: str, file: str) -> None:
        """Note that GraceDB has a product under the name `file` (``NAME,VERSION``)."""
        for product in self.products(subject).values():
            if product.version == version and _uploaded_as(product) == filename:
                facts = json.dumps({**product.facts, "uploaded": file})
                self.tx.execute(
                    "UPDATE products SET facts = ? WHERE subject = ? AND name = ?", (facts, subject, product.name)
                )

    def products_of_file(self, path: str) -> list[StoredProduct]:
        """Return the products that a job's file holds, or held before the job was tried again."""
        rows = self.tx.execute(query("product_of_file"), {"path": path, "name": path.rpartition("/")[2]}).fetchall()
        return [_product(row) for row in rows]

    def put_product(self, product: StoredProduct, now: float) -> None:
        """Store a product that now exists."""
        self.tx.execute(
            query("put_product"),
            {
                "subject": product.subject,
                "name": product.name,
                "version": product.version,
                "path": product.path,
                "facts": json.dumps(product.facts),
                "now": now,
            },
        )


def _uploaded_as(product: StoredProduct) -> str:
    return str(product.facts.get("filename", product.name))


def _written(decision: Decision, superevent: Superevent) -> list[str]:
    """Return which of a superevent's values a decision writes to GraceDB."""
    if is_our_superevent(superevent.key):
        return [name for name in SHAPE if decision.action == Action.CREATE or name in decision.detail]
    # The server does the clustering and maintains the window itself.
    return [name for name in ("t_0", "preferred") if decision.action == Action.UPDATE and name in decision.detail]


def _product(row: Any) -> StoredProduct:
    return StoredProduct(
        row["subject"], row["name"], row["version"], row["path"], json.loads(row["facts"]), row["created"]
    )
