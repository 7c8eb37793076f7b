"""The tiles of the overview: one for each part of the system, with its state.

The findings of ``gwbatch check`` colour a tile green, yellow or red, so the page and the check agree. A finding that
belongs to no tile still appears in the list above them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gwbatch import __version__
from gwbatch.ledger import Ledger, in_force, settings
from gwbatch.reports import checked
from gwbatch.reports.finding import Finding, Level
from gwbatch.units import age, size

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """The tile of one part of the system.

    Attributes
    ----------
    value : str
        The main word or number.
    concerns : tuple of str
        Prefixes of the keys of the findings about this part.
    page : str
        Page of the console that shows more.
    is_off : bool
        The part is not in use or its state is unknown.
    """

    name: str
    value: str
    detail: str
    concerns: tuple[str, ...]
    page: str = ""
    is_off: bool = False


Maker = Callable[[Ledger, Report], Iterator[Tile]]
_MAKERS: list[Maker] = []


def tile(maker: Maker) -> Maker:
    """Register a function that makes tiles; tiles appear in the order of registration."""
    _MAKERS.append(maker)
    return maker


def tiles(ledger: Ledger, report: Report) -> list[dict[str, Any]]:
    """Return all tiles with the ``state`` of each: ``good``, ``warn``, ``bad`` or ``off``."""
    return [
        {"name": one.name, "value": one.value, "detail": one.detail, "page": one.page, **_state(one, report)}
        for maker in _MAKERS
        for one in maker(ledger, report)
    ]


def _state(one: Tile, report: Report) -> dict[str, Any]:
    about = [found for found in report["findings"] if found["key"].startswith(one.concerns)]
    worst = max((Level[found["level"]] for found in about), default=Level.OK)
    if worst is Level.OK:
        return {"state": "off" if one.is_off else "good", "wrong": ""}
    text = next(found["text"] for found in about if Level[found["level"]] is worst)
    return {"state": "warn" if worst is Level.WARNING else "bad", "wrong": text}


@tile
def _dispatcher(ledger: Ledger, report: Report) -> Iterator[Tile]:
    who, policy = report["dispatcher"], in_force.recorded_policy(ledger)
    if not who["running"]:
        yield Tile("Dispatcher", "not running", "", ("dispatcher",))
        return
    named = "" if policy is None else f", policy loaded {age(report['time'] - policy[1])} ago"
    detail = f"process {who['pid']} on {who['host']}, heartbeat {age(who['heartbeat_age'])} ago, gwbatch {__version__}"
    yield Tile("Dispatcher", f"up {age(report['time'] - who['since'])}", detail + named, ("dispatcher",))


@tile
def _alerts(_: Ledger, report: Report) -> Iterator[Tile]:
    alerts = report["alerts"]
    concerns = ("alert", "mock data")
    if alerts["mode"] == "off":
        yield Tile("Alerts", "off", "disabled in the site profile", concerns, "/alerts", is_off=True)
        return
    value = "stopped" if alerts["stopped"] else "dry run" if alerts["dry_run"] else f"on: {alerts['mode']}"
    yield Tile("Alerts", value, f"to {', '.join(alerts['brokers']) or 'no broker'}", concerns, "/alerts")


@tile
def _listeners(_: Ledger, report: Report) -> Iterator[Tile]:
    for one in report["listeners"]:
        last = one["last_message_age"]
        heard = "no message yet" if last is None else f"last message {age(last)} ago"
        detail = f"{heard}, {one['lag']} behind" + (f", restarted {one['restarts']} times" if one["restarts"] else "")
        value = "connected" if one["connected"] else "not connected"
        yield Tile(f"Listener {one['name']}", value, detail, (f"listener {one['name']}",), "/messages")


@tile
def _lanes(_: Ledger, report: Report) -> Iterator[Tile]:
    waiting = {name: one for name, one in report["lanes"].items() if one["depth"]}
    depth = sum(one["depth"] for one in waiting.values())
    detail = ", ".join(f"{name} {one['depth']}" for name, one in waiting.items()) or "all lanes are empty"
    yield Tile("Lanes", f"{depth} waiting", detail, ("lane ",), "/messages")


@tile
def _dead_letters(_: Ledger, report: Report) -> Iterator[Tile]:
    dead = report["dead_letters"]
    newest = f"newest: {dead['newest'][0]['what']}" if dead["newest"] else "no dead letters"
    yield Tile("Dead letters", str(dead["count"]), newest, ("dead letters",), "/deadletters")


@tile
def _effects(_: Ledger, report: Report) -> Iterator[Tile]:
    effects = report["effects"]
    retried = f"{len(effects['retrying'])} retried" if effects["retrying"] else "none retried"
    yield Tile("Effects", f"{effects['ready'] + effects['running']} open", retried, ("effects", "retried"))


@tile
def _gracedb(ledger: Ledger, report: Report) -> Iterator[Tile]:
    yield from _of_check(ledger, report, "gracedb", "GraceDB", ("gracedb", "mirror"))


@tile
def _brokers(ledger: Ledger, report: Report) -> Iterator[Tile]:
    yield from _of_check(ledger, report, "brokers", "Brokers", ("broker",))


@tile
def _scheduler(ledger: Ledger, report: Report) -> Iterator[Tile]:
    jobs = report["jobs"]
    counts = {state: number for state, number in jobs["by_state"].items() if state not in ("DONE", "CANCELLED")}
    detail = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "no jobs running or waiting"
    looked, found = _looked(ledger, report, "pool") or (0.0, [])
    since = age(report["time"] - looked)
    nodes = "".join(f"; {one.text}, {since} ago" for one in found if one.level is Level.OK)
    value = f"{len(jobs['open'])} open jobs"
    yield Tile("Batch system", value, detail + nodes, ("scheduler", "pool", "job ", "failed job"), "/jobs")


@tile
def _standby(_: Ledger, report: Report) -> Iterator[Tile]:
    for queue, one in report["standby"].items():
        value = f"{one['ready']} of {one['wanted']} ready"
        is_off = not (one["wanted"] and report["dispatcher"]["running"])
        yield Tile(f"Standby {queue}", value, str(one["why"]), (f"standby {queue}",), is_off=is_off)


@tile
def _campaigns(_: Ledger, report: Report) -> Iterator[Tile]:
    known = report["campaigns"]
    if known:
        running = [one for one in known if one["state"] == "running"]
        left = sum(one["left"] for one in running)
        said = f"{left} events left" if running else f"{len(known)} known"
        value = f"{len(running)} running" if running else "none running"
        yield Tile("Campaigns", value, said, (), "campaigns", is_off=not running)


@tile
def _disk(ledger: Ledger, _: Report) -> Iterator[Tile]:
    if ledger.path is not None:
        usage = shutil.disk_usage(ledger.path.parent)
        yield Tile("Disk", f"{size(usage.free)} free", f"of {size(usage.total)}", ("disk",))


@tile
def _ledger(ledger: Ledger, report: Report) -> Iterator[Tile]:
    backup = settings.setting(ledger.connection, settings.BACKED_UP)
    copy = f"backup {age(report['time'] - backup.recorded)} ago" if backup else "no backup yet"
    length = 0 if ledger.path is None or not ledger.path.exists() else ledger.path.stat().st_size
    yield Tile("Ledger", size(length), copy, ("integrity", "backup", "restored"))


@tile
def _clock(ledger: Ledger, report: Report) -> Iterator[Tile]:
    yield from _of_check(ledger, report, "clock", "Clock", ("clock",))


@tile
def _credentials(ledger: Ledger, report: Report) -> Iterator[Tile]:
    yield from _of_check(ledger, report, "credentials", "Credentials", ("credentials",))


def _of_check(ledger: Ledger, report: Report, check: str, name: str, concerns: tuple[str, ...]) -> Iterator[Tile]:
    """Yield the tile of a check that the dispatcher runs from time to time."""
    if not report["dispatcher"]["running"]:
        yield Tile(name, "unknown", "no dispatcher is running", concerns, is_off=True)
        return
    known = _looked(ledger, report, check)
    if known is None:
        yield Tile(name, "not checked yet", "the dispatcher checks from time to time", concerns, is_off=True)
        return
    looked, found = known
    worst = max(found, key=lambda one: one.level, default=Finding(Level.OK, "", "nothing to check"))
    value = {Level.OK: "OK", Level.WARNING: "needs attention"}.get(worst.level, "failing")
    yield Tile(name, value, f"{worst.text}; {age(report['time'] - looked)} ago", concerns)


def _looked(ledger: Ledger, report: Report, check: str) -> tuple[float, list[Finding]] | None:
    """Return when the running dispatcher last ran a check (Unix s) and what it found, or None if it has not yet."""
    known, who = checked.newest(ledger).get(check), report["dispatcher"]
    return known if known is not None and who["running"] and known[0] >= who["since"] else None
