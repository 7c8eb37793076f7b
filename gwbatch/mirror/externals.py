"""External triggers in the ledger: notices, the events made from them, and their coincidences."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.external import ExternalEvent, Match, Notice, Trigger, parse_notice
from gwbatch.external.coincidence import EM_COINC, NOT_GRB, RAVEN_ALERT
from gwbatch.external.in_gracedb import as_in_gracedb
from gwbatch.ledger import Transaction
from gwbatch.mirror import query
from gwbatch.model import Action, Decision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coincidence:
    """A superevent in the window of an external event."""

    match: Match
    chosen: bool
    announced: bool


class ExternalStore:
    """External triggers inside one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    # ---- notices --------------------------------------------------------------------------------------

    def add_notice(
        self, digest: str, key: str, topic: str, payload: bytes, now: float, said: Mapping[str, Any] | None = None
    ) -> bool:
        """Store a notice, with GraceDB's description of its event if given (`said`); return False if it is known."""
        values = (key, digest, topic, payload, now, None if said is None else json.dumps(dict(said), sort_keys=True))
        return self.tx.execute("INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?)", values).rowcount == 1

    def notices(self, key: str) -> list[tuple[str, Notice]]:
        """Return all readable notices of a trigger, with the hashes of their contents."""
        found = []
        for row in self.tx.execute("SELECT * FROM notices WHERE external = ?", (key,)).fetchall():
            try:
                found.append((row["digest"], _notice(row)))
            except BadInput as error:  # an earlier version of gwbatch could read it
                log.warning("ignoring a notice of %s that can no longer be read: %s", key, error)
        return found

    def notice(self, key: str, digest: str) -> tuple[str, bytes, Notice]:
        """Return one notice: topic, content, and parsed form."""
        row = self.tx.execute("SELECT * FROM notices WHERE external = ? AND digest = ?", (key, digest)).fetchone()
        return row["topic"], row["payload"], _notice(row)

    # ---- events ---------------------------------------------------------------------------------------

    def get(self, key: str) -> ExternalEvent | None:
        """Return an event by its key."""
        return self._one("SELECT * FROM external_events WHERE key = ?", key)

    def by_graceid(self, graceid: str) -> ExternalEvent | None:
        """Return an event by its GraceDB id."""
        return self._one("SELECT * FROM external_events WHERE graceid = ?", graceid)

    def near(self, gps: float, within: float) -> list[ExternalEvent]:
        """Return the events whose times differ from a GPS time by at most `within` (s)."""
        rows = self.tx.execute(
            "SELECT * FROM external_events WHERE time BETWEEN ? AND ? ORDER BY key", (gps - within, gps + within)
        )
        return [_external(row) for row in rows.fetchall()]

    def created_since(self, since: float) -> list[tuple[str, str]]:
        """Return key and GraceDB id of the external events known since a Unix time (s), newest first."""
        rows = self.tx.execute(query("externals_since"), (since,)).fetchall()
        return [(row["key"], row["graceid"]) for row in rows]

    def all(self) -> list[ExternalEvent]:
        """Return all events, by key."""
        return [_external(row) for row in self.tx.execute("SELECT * FROM external_events ORDER BY key").fetchall()]

    def put(self, key: str, trigger: Trigger, now: float) -> None:
        """Store the current state of a trigger, according to its notices."""
        notice = trigger.notice
        self.tx.execute(
            query("put_external"),
            {
                "key": key,
                "observatory": notice.observatory,
                "trigger_id": notice.trigger_id,
                "search": notice.search,
                "time": notice.time,
                "far": notice.far,
                "test": notice.test,
                "best_notice": trigger.best_notice,
                "map_notice": trigger.map_notice,
                "reasons": json.dumps(trigger.reasons),
                "now": now,
            },
        )

    def name(self, key: str, graceid: str) -> None:
        """Store the GraceDB id that the create effect returned."""
        self.tx.execute("UPDATE external_events SET graceid = ? WHERE key = ?", (graceid, key))

    def adopt(self, key: str, graceid: str) -> None:
        """Record that somebody else made the event in GraceDB."""
        self.tx.execute("UPDATE external_events SET graceid = ?, adopted = 1 WHERE key = ?", (graceid, key))

    def set_not_grb(self, key: str, not_grb: bool | None) -> None:
        """Record that somebody set or removed NOT_GRB in GraceDB; None clears the record."""
        self.tx.execute("UPDATE external_events SET not_grb_override = ? WHERE key = ?", (not_grb, key))

    def set_labels(self, key: str, labels: Iterable[str]) -> None:
        """Store the labels, including those that pending effects will set."""
        unique = json.dumps(list(dict.fromkeys(labels)))
        self.tx.execute("UPDATE external_events SET labels = ? WHERE key = ?", (unique, key))

    def set_pending(self, key: str, changes: Iterable[str]) -> None:
        """Record which of our label changes no GraceDB alert has shown yet."""
        self.tx.execute("UPDATE external_events SET pending_writes = ? WHERE key = ?", (json.dumps(list(changes)), key))

    def _one(self, sql: str, value: str) -> ExternalEvent | None:
        row = self.tx.execute(sql, (value,)).fetchone()
        return None if row is None else _external(row)

    # ---- coincidences ---------------------------------------------------------------------------------

    def coincidences(self, *, external: str | None = None, superevent: str | None = None) -> list[Coincidence]:
        """Return the coincidences of an external event, or of a superevent."""
        column, value = ("external", external) if external is not None else ("superevent", superevent)
        rows = self.tx.execute(f"SELECT * FROM coincidences WHERE {column} = ? ORDER BY external, superevent", (value,))
        return [_coincidence(row) for row in rows.fetchall()]

    def put_coincidences(self, key: str, found: Iterable[Coincidence]) -> None:
        """Store all coincidences of an external event, replacing earlier ones."""
        self.tx.execute("DELETE FROM coincidences WHERE external = ?", (key,))
        for one in found:
            match = one.match
            self.tx.execute(
                "INSERT INTO coincidences VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    match.external, match.superevent, match.dt, *match.window, match.far_time, match.overlap,
                    match.far_spacetime, one.chosen, one.announced,
                ),
            )  # fmt: skip

    # ---- decisions ------------------------------------------------------------------------------------

    def apply(self, decision: Decision) -> None:
        """Apply a decision to the labels of an external event."""
        event = self.get(str(decision.detail["external"]))
        if event is None:
            return
        labels = list(event.labels)
        if decision.action == Action.NOT_GRB:
            labels = [name for name in labels if name != NOT_GRB]
            labels += [NOT_GRB] if decision.detail["set"] else []
        elif decision.action in (Action.COINCIDENCE, Action.RAVEN_ALERT):
            labels.append(EM_COINC if decision.action == Action.COINCIDENCE else RAVEN_ALERT)
        elif decision.action == Action.COINCIDENCE_END:
            labels = [name for name in labels if name != EM_COINC]
        self.set_labels(event.key, labels)


def _notice(row: Mapping[str, Any]) -> Notice:
    notice = parse_notice(row["topic"], row["payload"])
    return notice if row["said"] is None else as_in_gracedb(notice, json.loads(row["said"]))


def _external(row: Mapping[str, Any]) -> ExternalEvent:
    values = {name: row[name] for name in ExternalEvent.__dataclass_fields__}
    for name in ("reasons", "labels", "pending_writes"):
        values[name] = tuple(json.loads(values[name]))
    override = values["not_grb_override"]
    values |= {"test": bool(row["test"]), "adopted": bool(row["adopted"])}
    return ExternalEvent(**{**values, "not_grb_override": None if override is None else bool(override)})


def _coincidence(row: Mapping[str, Any]) -> Coincidence:
    window = row["window_low"], row["window_high"]
    match = Match(
        row["superevent"], row["external"], row["dt"], window, row["far_time"], row["overlap"], row["far_spacetime"]
    )
    return Coincidence(match, bool(row["chosen"]), bool(row["announced"]))
