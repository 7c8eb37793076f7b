"""The report of ``gwbatch status``, as one JSON-ready mapping (documented in ``docs/status.md``)."""

from __future__ import annotations

import json
import math
import socket
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from gwbatch.ledger import Ledger, settings, standby
from gwbatch.reports import alerts, query
from gwbatch.reports.health import findings, limits_in_force

VERSION = 1
SILENT = 15.0  # s without a poll after which a listener counts as disconnected
RECENT = 40  # newest values that are listed for each stage
SAMPLE = 2000  # newest rows from which each latency is computed


def report(ledger: Ledger, now: float) -> dict[str, Any]:
    """Return the whole report, with ages and latencies in s."""
    found = {
        "version": VERSION,
        "time": now,
        "ledger": str(ledger.path),
        "installation": installation(ledger),
        "dispatcher": _dispatcher(ledger, now),
        "listeners": _listeners(ledger, now),
        "messages": _messages(ledger, now),
        "lanes": _lanes(ledger, now),
        "effects": _effects(ledger, now),
        "jobs": _jobs(ledger, now),
        "standby": standby.overview(ledger.connection, now),
        "superevents": superevents(ledger),
        "external_events": external_events(ledger),
        "dead_letters": {"count": _count_dead(ledger), "newest": dead_letters(ledger, limit=5)},
        "alerts": alerts.overview(ledger),
        "latencies": latencies(ledger),
    }
    wrong = findings(ledger, found, limits_in_force(ledger))
    return {**found, "wrong": [one.text for one in wrong], "findings": [one.as_json() for one in wrong]}


def installation(ledger: Ledger) -> dict[str, str] | None:
    """Return the ``site`` profile and the ``gracedb`` of the newest dispatcher, and its ``name``; None if unknown.

    The name is GraceDB's host, or the site profile's name if there is no GraceDB.
    """
    found = settings.setting(ledger.connection, settings.PROFILE)  # as JSON, because msgspec would slow status down
    if found is None:
        return None
    site, url = str(found.value.get("name", "")), str(found.value.get("gracedb", {}).get("url", ""))
    gracedb = urlsplit(url).netloc.rpartition("@")[2]
    return {"site": site, "gracedb": gracedb, "name": gracedb or site}


def _dispatcher(ledger: Ledger, now: float) -> dict[str, Any]:
    from gwbatch.ledger.leases import pid_alive

    rows = ledger.read("SELECT * FROM leases WHERE name = 'dispatcher'")
    if not rows:
        return {"running": False}
    row = rows[0]
    here = row["host"] == socket.gethostname()
    alive = pid_alive(row["pid"], row["pid_started"]) if here else now - row["heartbeat"] < 60
    return {
        "running": bool(alive and not row["released"]),
        "host": row["host"],
        "pid": row["pid"],
        "since": row["acquired"],
        "heartbeat_age": now - row["heartbeat"],
    }


def _listeners(ledger: Ledger, now: float) -> list[dict[str, Any]]:
    positions = defaultdict(list)
    for row in ledger.read("SELECT * FROM offsets WHERE topic NOT LIKE 'file:%'"):
        positions[row["listener"]].append(row)
    found = []
    for row in ledger.read("SELECT * FROM heartbeats ORDER BY name"):
        partitions = positions[row["name"]]
        found.append(
            {
                "name": row["name"],
                "pid": row["pid"],
                "connected": bool(row["connected"]) and now - row["last_poll"] < SILENT,
                "poll_age": now - row["last_poll"],
                "last_message_age": None if row["last_message"] is None else now - row["last_message"],
                "restarts": row["restarts"],
                "note": row["note"],
                "partitions": [
                    {"topic": p["topic"], "partition": p["partition"], "lag": _lag(p), "gap": p["gap"]}
                    for p in partitions
                ],
                "lag": sum(map(_lag, partitions)),
                "gap": sum(p["gap"] for p in partitions),
            }
        )
    return found


def _messages(ledger: Ledger, now: float) -> dict[str, Any]:
    """Count the messages of the last hour, in total and for each minute, oldest first."""
    rows = ledger.read(
        query("messages_per_minute"),
        (now, now - 3600),
    )
    counts = {row["minute"]: row["n"] for row in rows}
    return {
        "last_hour": sum(counts.values()),
        "per_minute": [counts.get(minute, 0) for minute in reversed(range(60))],
    }


def _lag(position: Any) -> int:
    return max(0, int(position["high_watermark"] or 0) - int(position["next_offset"]))


def _lanes(ledger: Ledger, now: float) -> dict[str, dict[str, Any]]:
    lanes: dict[str, dict[str, Any]] = {
        name: {"depth": 0, "oldest_age": None, "retrying": 0} for name in ("superevent", "exttrig", "general")
    }
    for row in ledger.read(query("report_lanes")):
        lanes[row["lane"]] = {
            "depth": row["depth"],
            "oldest_age": now - row["oldest"],
            "retrying": row["retrying"],
        }
    return lanes


def _effects(ledger: Ledger, now: float) -> dict[str, Any]:
    rows = {row["state"]: row for row in ledger.read(query("report_open_effects"))}
    oldest = min((row["oldest"] for row in rows.values()), default=None)
    trouble = ledger.read(query("report_troubled_effects"))
    return {
        "ready": rows["ready"]["n"] if "ready" in rows else 0,
        "running": rows["running"]["n"] if "running" in rows else 0,
        "oldest_age": None if oldest is None else max(0.0, now - oldest),
        "retrying": [dict(row) for row in trouble],
    }


def _jobs(ledger: Ledger, now: float) -> dict[str, Any]:
    by_state = {row["state"]: row["n"] for row in ledger.read("SELECT state, count(*) AS n FROM jobs GROUP BY state")}
    open_jobs = ledger.read(query("report_open_jobs"))
    failed = ledger.read(query("newest_failed_jobs"))
    return {
        "by_state": by_state,
        "open": [{**dict(row), "age": now - row["state_since"]} for row in open_jobs],
        "failed": [dict(row) for row in failed],
    }


def superevents(ledger: Ledger, limit: int = 10) -> list[dict[str, Any]]:
    """Return the newest superevents with members, labels and products."""
    found = []
    for row in ledger.read("SELECT * FROM superevents ORDER BY id DESC LIMIT ?", (limit,)):
        members = ledger.read("SELECT graceid FROM events WHERE superevent = ? ORDER BY position", (row["key"],))
        products = ledger.read(
            query("products_of_superevent"),
            (row["key"],),
        )
        found.append(
            {
                "key": row["key"],
                "superevent_id": row["graceid"],
                "category": row["category"],
                "t_0": row["t_0"],
                "preferred": row["preferred"],
                "events": [member["graceid"] for member in members],
                "labels": json.loads(row["labels"]),
                "products": [product["name"] for product in products],
                "methods": {product["name"]: product["method"] for product in products if product["method"]},
                "created": row["created"],
            }
        )
    return found


def external_events(ledger: Ledger, limit: int = 10) -> list[dict[str, Any]]:
    """Return the newest external events, each with its coincidence, if it has one."""
    found = []
    for row in ledger.read(query("report_externals"), {"limit": limit}):
        reasons = json.loads(row["reasons"])
        found.append(
            {
                **{name: row[name] for name in ("key", "graceid", "observatory", "trigger_id", "search", "time")},
                "test": bool(row["test"]),
                "grb": not reasons if row["not_grb_override"] is None else not row["not_grb_override"],
                "reasons": reasons,
                "labels": json.loads(row["labels"]),
                "coincidence": None if row["superevent"] is None else _coincidence(row),
                "created": row["created"],
            }
        )
    return found


def _coincidence(row: Any) -> dict[str, Any]:
    spacetime = row["far_spacetime"]
    return {
        "superevent": row["superevent_id"] or row["superevent"],
        "dt": row["dt"],
        "far_time": row["far_time"],
        "overlap": row["overlap"],
        "far_spacetime": spacetime if spacetime is not None and math.isfinite(spacetime) else None,
        "announced": bool(row["announced"]),
    }


def _count_dead(ledger: Ledger) -> int:
    return int(ledger.read(query("report_dead_count"))[0]["n"])


def dead_letters(ledger: Ledger, limit: int) -> list[dict[str, Any]]:
    """Return dead messages (``m17``) and effects (``e5``), newest first."""
    rows = ledger.read(query("report_dead"), {"limit": limit})
    return [dict(row) for row in rows]


def latencies(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Return median and 95th percentile of each stage's latency (s) over its newest rows, sorted by stage name."""
    stages: dict[str, list[float]] = defaultdict(list)
    for row in ledger.read(query("report_message_latencies"), {"limit": SAMPLE}):
        if row["published"]:
            stages["alert published to received"].append(row["received"] - row["published"])
        stages[f"received to decided ({row['lane']})"].append(row["decided"] - row["received"])
    for row in ledger.read(query("report_effect_latencies"), {"limit": SAMPLE}):
        stages[f"decided to done: {row['kind']}"].append(row["whole"])
    for row in ledger.read("SELECT * FROM jobs WHERE state = 'DONE' ORDER BY finished DESC LIMIT ?", (SAMPLE,)):
        if row["submitted"] and row["started"]:
            stages[f"job {row['kind']}: waiting"].append(max(0.0, row["started"] - row["submitted"]))
            stages[f"job {row['kind']}: running"].append(row["finished"] - row["started"])
    for row in ledger.read("SELECT * FROM public_notices WHERE frozen IS NOT NULL ORDER BY id DESC LIMIT ?", (SAMPLE,)):
        stages["notice: planned to frozen"].append(row["frozen"] - row["planned"])
        if row["delivered"] is not None:
            stages["notice: frozen to the first broker"].append(row["delivered"] - row["frozen"])
    return {
        name: {
            "count": len(values),
            "p50": _quantile(values, 0.5),
            "p95": _quantile(values, 0.95),
            "recent": values[:RECENT][::-1],
        }
        for name, values in sorted(stages.items())
    }


def _quantile(values: Iterable[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
