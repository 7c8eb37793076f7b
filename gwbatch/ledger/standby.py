"""Pilots of the warm standby: their state, their cost, and the operators' orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gwbatch.ledger import settings
from gwbatch.ledger.database import Transaction, query

if TYPE_CHECKING:
    from gwbatch.model import JobStatus  # its import would slow down 'gwbatch status'

DAY = 86400.0
KEPT = 50  # records per queue of jobs that did not reach a free pilot
_ORDER, _WANTED, _MISSED = "standby_order", "standby_wanted", "standby_missed"


@dataclass(frozen=True)
class PilotJob:
    """A pilot as a batch job; times are in Unix s, `idle` and `busy` are durations in s."""

    key: str
    queue: str
    directory: str
    native_id: str | None
    state: str
    reason: str | None
    host: str | None
    cores: int | None
    asked: float
    started: float | None
    ready: float | None
    finished: float | None
    idle: float
    busy: float
    tasks: int


_COLUMNS = ", ".join(PilotJob.__dataclass_fields__)


def request_pilot(tx: Transaction, queue: str, directory: str, now: float) -> str:
    """Store the request for a pilot, and return its key.  `directory` is the parent of all pilots' directories."""
    (number,) = tx.execute("SELECT count(*) + 1 FROM pilots WHERE queue = ?", (queue,)).fetchone()
    key = f"standby/{queue}/{number}"
    values = (key, queue, f"{directory}/{key}", "WAITING", now)
    tx.execute("INSERT INTO pilots (key, queue, directory, state, asked) VALUES (?, ?, ?, ?, ?)", values)
    return key


def submitted(tx: Transaction, key: str, native_id: str) -> None:
    """Note that the batch system has a pilot."""
    tx.execute("UPDATE pilots SET native_id = ?, state = ? WHERE key = ?", (native_id, "QUEUED", key))


def report(tx: Transaction, key: str, seen: JobStatus, now: float) -> None:
    """Record the batch system's report about a pilot."""
    finished = (seen.finished or now) if seen.state.final else None
    tx.execute(
        query("report_pilot"),
        (seen.state, seen.reason or None, seen.host, seen.cores, seen.started, finished, key),
    )


def heartbeat(tx: Transaction, key: str, ready: float, idle: float, busy: float, tasks: int) -> None:
    """Record a pilot's report about itself."""
    tx.execute(
        query("pilot_heartbeat"),
        (ready, idle, busy, tasks, key),
    )


def open_pilots(tx: Transaction, queue: str = "") -> list[PilotJob]:
    """Return the pilots that have not ended, the oldest first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM pilots WHERE finished IS NULL AND (? = '' OR queue = ?) ORDER BY asked, key",
        (queue, queue),
    ).fetchall()
    return [_pilot(row) for row in rows]


def ended(tx: Transaction, queue: str, limit: int) -> list[PilotJob]:
    """Return the newest pilots of a queue that ended without being cancelled, the last one first."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM pilots WHERE finished IS NOT NULL AND queue = ? AND state <> 'CANCELLED' "
        "ORDER BY finished DESC LIMIT ?",
        (queue, limit),
    ).fetchall()
    return [_pilot(row) for row in rows]


def ended_before(tx: Transaction, moment: float) -> list[str]:
    """Return the directories of the pilots that ended in the month before `moment` (Unix s)."""
    rows = tx.execute("SELECT directory FROM pilots WHERE finished BETWEEN ? AND ?", (moment - 31 * DAY, moment))
    return [row["directory"] for row in rows]


def failures_in_a_row(tx: Transaction, queue: str) -> tuple[int, float]:
    """Return how many of the newest pilots in a row ended before they were ready, and when the last did (Unix s)."""
    count, last = 0, 0.0
    for row in tx.execute(
        query("newest_pilots_ended"),
        (queue,),
    ):
        if row["ready"] is not None:
            break
        count, last = count + 1, max(last, row["finished"])
    return count, last


def node_hours(tx: Transaction, queue: str, now: float) -> float:
    """Return the node-hours that pilots have held within the last 24 hours."""
    (seconds,) = tx.execute(
        query("pilot_node_seconds"),
        (now, now - DAY, queue, now, now - DAY),
    ).fetchone()
    return float(seconds) / 3600.0


def note_wanted(tx: Transaction, queue: str, count: int, why: str, now: float) -> None:
    """Record how many pilots the dispatcher wants, and why; ``since`` (Unix s) changes only with the number."""
    before = wanted(tx)
    known = before.get(queue)
    since = known["since"] if known is not None and known["count"] == count else now
    found = {**before, queue: {"count": count, "why": why, "since": since}}
    settings.put(tx, _WANTED, found, now)


def wanted(tx: Transaction) -> dict[str, dict[str, Any]]:
    """Return what the dispatcher wants: queue to ``count``, ``why`` and ``since`` (Unix s)."""
    return dict(settings.get(tx, _WANTED, {}))


def note_missed(tx: Transaction, queue: str, key: str, why: str, now: float) -> None:
    """Record that a job did not reach a pilot that had room for it; the ledger keeps the newest records."""
    before = settings.get(tx, _MISSED, {})
    known = before.get(queue, {"count": 0, "newest": []})
    newest = [*known["newest"], {"at": now, "key": key, "why": why}][-KEPT:]
    settings.put(tx, _MISSED, {**before, queue: {"count": known["count"] + 1, "newest": newest}}, now)


def missed(tx: Transaction, queue: str, since: float) -> list[dict[str, Any]]:
    """Return the jobs that did not reach a free pilot since then (Unix s), oldest first: ``at``, ``key``, ``why``."""
    newest = settings.get(tx, _MISSED, {}).get(queue, {}).get("newest", [])
    return [one for one in newest if one["at"] > since]


def costs(tx: Transaction, queue: str, since: float, now: float) -> dict[str, Any]:
    """Return the number of ``pilots`` that ran between two times, and their ``held``, ``busy`` and ``idle`` times (s).

    ``held`` is the part within the two times; ``busy`` and ``idle`` are known of whole pilots only.
    """
    row = tx.execute(
        query("pilot_costs"),
        {"queue": queue, "since": since, "now": now},
    ).fetchone()
    return dict(row)


def overview(tx: Transaction, now: float) -> dict[str, dict[str, Any]]:
    """Return, by queue, how many pilots are ``wanted``, ``why``, how many exist and are ``ready``, and the ``order``.

    ``missed`` counts the jobs that did not reach a pilot that had room for them.

    ``busy`` and ``idle`` are the seconds that all pilots of the queue, including ended ones, have reported.
    """
    found = {}
    for queue, one in wanted(tx).items():
        pilots = open_pilots(tx, queue)
        row = tx.execute(
            query("pilot_seconds"),
            (queue,),
        ).fetchone()
        found[queue] = {
            "wanted": one["count"],
            "why": one["why"],
            "since": one["since"],
            "pilots": len(pilots),
            "ready": sum(pilot.ready is not None for pilot in pilots),
            "missed": settings.get(tx, _MISSED, {}).get(queue, {}).get("count", 0),
            "order": ordered(tx, queue, now),
            **dict(row),
        }
    return found


def demand(tx: Transaction, queue: str, kinds: list[str]) -> tuple[float | None, int]:
    """Return when a job that pilots can take was last planned (Unix s), and how many such jobs are waiting to start."""
    marks = ", ".join("?" * len(kinds))
    last = tx.execute(
        f"SELECT created FROM jobs WHERE queue = ? AND kind IN ({marks}) ORDER BY rowid DESC LIMIT 1", (queue, *kinds)
    ).fetchone()
    (waiting,) = tx.execute(
        f"SELECT count(*) FROM jobs WHERE state IN ('WAITING', 'QUEUED') AND queue = ? AND kind IN ({marks})",
        (queue, *kinds),
    ).fetchone()
    return None if last is None else last["created"], int(waiting)


def stuck(tx: Transaction, queue: str, since: float) -> int:
    """Return how many jobs of a queue have waited in the batch system since this time (Unix s) or longer."""
    values = (queue, since)
    (count,) = tx.execute(
        "SELECT count(*) FROM jobs WHERE state = 'QUEUED' AND queue = ? AND submitted <= ?", values
    ).fetchone()
    return int(count)


def order(tx: Transaction, queue: str, pilots: int, until: float | None, by: str, now: float) -> None:
    """Record an operator's order for a number of pilots, valid until `until` (Unix s) or until it is withdrawn."""
    orders = {**_orders(tx), queue: {"pilots": pilots, "until": until, "by": by, "at": now}}
    settings.put(tx, _ORDER, orders, now)


def take_back_order(tx: Transaction, queue: str, now: float) -> bool:
    """Withdraw an order, so that the policy decides again; return False if there was none."""
    orders = _orders(tx)
    had = orders.pop(queue, None) is not None
    settings.put(tx, _ORDER, orders, now)
    return had


def ordered(tx: Transaction, queue: str, now: float) -> dict[str, Any] | None:
    """Return the order in force (``pilots``, ``until``, ``by``, ``at``), or None."""
    found = _orders(tx).get(queue)
    return None if found is None or (found["until"] is not None and now >= found["until"]) else found


def saved(tx: Transaction, queue: str, since: float) -> dict[str, Any]:
    """Return the time that standby saved, from the delays between submission and first instruction, cold and warm.

    Returns
    -------
    dict
        ``cold`` and ``warm``, each with ``n`` and ``median_start`` (s, None without jobs), and ``saved`` (s): the
        number of warm jobs times the difference of the medians, None if one is missing.
    """
    rows = tx.execute(
        query("starts_of_jobs"),
        (queue, since),
    ).fetchall()
    found: dict[str, Any] = {}
    for name, warm in (("cold", 0), ("warm", 1)):
        delays = sorted(max(0.0, row["delay"]) for row in rows if (row["warm"] or 0) == warm)
        found[name] = {"n": len(delays), "median_start": delays[len(delays) // 2] if delays else None}
    cold, quick = found["cold"]["median_start"], found["warm"]["median_start"]
    found["saved"] = None if cold is None or quick is None else (cold - quick) * found["warm"]["n"]
    return found


def _orders(tx: Transaction) -> dict[str, Any]:
    return dict(settings.get(tx, _ORDER, {}))


def _pilot(row: Mapping[str, Any]) -> PilotJob:
    return PilotJob(**dict(row))
