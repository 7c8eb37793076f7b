"""External triggers in the ledger: notices, the events made of them, and their coincidences."""

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
from gwbatch.external.vetoes import RETRACTED
from gwbatch.ledger import Transaction
from gwbatch.mirror import query
from gwbatch.model import Decision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class External:
    """An external event as the ledger has it.

    Attributes
    ----------
    time : float
        GPS s.
    far : float or None
        Hz.
    chosen : str
        SHA-256 of the notice that counts.
    located : str or None
        SHA-256 of the notice that its sky map is made from.
    reasons : tuple of str
        Why its notices say that it is no burst.
    by_hand : bool or None
        Whether somebody set NOT_GRB in GraceDB (True) or took it away (False): that takes precedence over the notices.
    expected : tuple of str
        Our own label changes (``+LABEL``, ``-LABEL``) that no alert has shown yet.
    adopted : bool
        Somebody else made the event in GraceDB.
    """

    key: str
    graceid: str | None
    observatory: str
    trigger_id: str
    search: str
    time: float
    far: float | None
    test: bool
    chosen: str
    located: str | None
    reasons: tuple[str, ...]
    by_hand: bool | None
    labels: tuple[str, ...]
    expected: tuple[str, ...]
    adopted: bool = False

    @property
    def grb(self) -> bool:
        """Whether it counts as what its search looks for; nobody makes a retracted trigger count."""
        if RETRACTED in self.reasons:
            return False
        return not self.reasons if self.by_hand is None else not self.by_hand

    @property
    def seen(self) -> ExternalEvent:
        """As the rules of coincidence see it."""
        return ExternalEvent(
            self.key, self.observatory, self.search, self.time, self.far, self.test, self.grb, frozenset(self.labels)
        )


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
        """Keep a notice, with what GraceDB says of its event if somebody else made that; False if it is known."""
        values = (key, digest, topic, payload, now, None if said is None else json.dumps(dict(said), sort_keys=True))
        return self.tx.execute("INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?)", values).rowcount == 1

    def notices(self, key: str) -> list[tuple[str, Notice]]:
        """Return all notices of a trigger that can be read, with the hashes of their contents."""
        found = []
        for row in self.tx.execute("SELECT * FROM notices WHERE external = ?", (key,)).fetchall():
            try:
                found.append((row["digest"], _notice(row)))
            except BadInput as error:  # an earlier version could read it
                log.warning("a notice of %s does not count any more: %s", key, error)
        return found

    def notice(self, key: str, digest: str) -> tuple[str, bytes, Notice]:
        """Topic, content and meaning of one notice."""
        row = self.tx.execute("SELECT * FROM notices WHERE external = ? AND digest = ?", (key, digest)).fetchone()
        return row["topic"], row["payload"], _notice(row)

    # ---- events ---------------------------------------------------------------------------------------

    def get(self, key: str) -> External | None:
        """By key."""
        return self._one("SELECT * FROM external_events WHERE key = ?", key)

    def named(self, graceid: str) -> External | None:
        """By GraceDB id."""
        return self._one("SELECT * FROM external_events WHERE graceid = ?", graceid)

    def near(self, gps: float, within: float) -> list[External]:
        """Return those whose times differ from a GPS time by at most `within` (s)."""
        rows = self.tx.execute(
            "SELECT * FROM external_events WHERE time BETWEEN ? AND ? ORDER BY key", (gps - within, gps + within)
        )
        return [_external(row) for row in rows.fetchall()]

    def created_since(self, since: float) -> list[tuple[str, str]]:
        """Return key and GraceDB id of the external events known since a Unix time (s), newest first."""
        rows = self.tx.execute(query("externals_since"), (since,)).fetchall()
        return [(row["key"], row["graceid"]) for row in rows]

    def all(self) -> list[External]:
        """All, by key."""
        return [_external(row) for row in self.tx.execute("SELECT * FROM external_events ORDER BY key").fetchall()]

    def put(self, key: str, trigger: Trigger, now: float) -> None:
        """What the notices of a trigger say now."""
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
                "chosen": trigger.chosen,
                "located": trigger.located,
                "reasons": json.dumps(trigger.reasons),
                "now": now,
            },
        )

    def name(self, key: str, graceid: str) -> None:
        """The create effect brought back a GraceDB id."""
        self.tx.execute("UPDATE external_events SET graceid = ? WHERE key = ?", (graceid, key))

    def adopt(self, key: str, graceid: str) -> None:
        """Note that the event is one that somebody else made in GraceDB."""
        self.tx.execute("UPDATE external_events SET graceid = ?, adopted = 1 WHERE key = ?", (graceid, key))

    def set_not_grb(self, key: str, not_grb: bool | None) -> None:
        """Somebody set or took away NOT_GRB by hand; None forgets it."""
        self.tx.execute("UPDATE external_events SET by_hand = ? WHERE key = ?", (not_grb, key))

    def set_labels(self, key: str, labels: Iterable[str]) -> None:
        """The labels as they are now, or will be."""
        unique = json.dumps(list(dict.fromkeys(labels)))
        self.tx.execute("UPDATE external_events SET labels = ? WHERE key = ?", (unique, key))

    def expect(self, key: str, changes: Iterable[str]) -> None:
        """Which of our label changes GraceDB's alerts have still to show."""
        self.tx.execute("UPDATE external_events SET expected = ? WHERE key = ?", (json.dumps(list(changes)), key))

    def _one(self, sql: str, value: str) -> External | None:
        row = self.tx.execute(sql, (value,)).fetchone()
        return None if row is None else _external(row)

    # ---- coincidences ---------------------------------------------------------------------------------

    def coincidences(self, *, external: str | None = None, superevent: str | None = None) -> list[Coincidence]:
        """Those of an external event, or of a superevent."""
        column, value = ("external", external) if external is not None else ("superevent", superevent)
        rows = self.tx.execute(f"SELECT * FROM coincidences WHERE {column} = ? ORDER BY external, superevent", (value,))
        return [_coincidence(row) for row in rows.fetchall()]

    def put_coincidences(self, key: str, found: Iterable[Coincidence]) -> None:
        """All coincidences of an external event, in place of those before."""
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
        """Bring the labels of an external event to the state after a decision."""
        event = self.get(str(decision.detail["external"]))
        if event is None:
            return
        labels = list(event.labels)
        if decision.action == "not_grb":
            labels = [name for name in labels if name != NOT_GRB]
            labels += [NOT_GRB] if decision.detail["set"] else []
        elif decision.action in ("coincidence", "raven_alert"):
            labels.append(EM_COINC if decision.action == "coincidence" else RAVEN_ALERT)
        elif decision.action == "coincidence_end":
            labels = [name for name in labels if name != EM_COINC]
        self.set_labels(event.key, labels)


def _notice(row: Mapping[str, Any]) -> Notice:
    notice = parse_notice(row["topic"], row["payload"])
    return notice if row["said"] is None else as_in_gracedb(notice, json.loads(row["said"]))


def _external(row: Mapping[str, Any]) -> External:
    values = {name: row[name] for name in External.__dataclass_fields__}
    for name in ("reasons", "labels", "expected"):
        values[name] = tuple(json.loads(values[name]))
    by_hand = values["by_hand"]
    values |= {"test": bool(row["test"]), "adopted": bool(row["adopted"])}
    return External(**{**values, "by_hand": None if by_hand is None else bool(by_hand)})


def _coincidence(row: Mapping[str, Any]) -> Coincidence:
    window = row["window_low"], row["window_high"]
    match = Match(
        row["superevent"], row["external"], row["dt"], window, row["far_time"], row["overlap"], row["far_spacetime"]
    )
    return Coincidence(match, bool(row["chosen"]), bool(row["announced"]))
