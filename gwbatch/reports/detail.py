"""Details of single superevents, jobs and dead letters, for the console and for commands such as ``jobs show``."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gwbatch.config.policy import Policy
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, dead_letters
from gwbatch.ledger.jobs import orders as possible_orders
from gwbatch.mirror import public_notices
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import JobState
from gwbatch.reports import alerts, query
from gwbatch.reports.milestones import courses
from gwbatch.reports.story import story
from gwbatch.reports.summaries import summary
from gwbatch.superevents import Superevent
from gwbatch.superevents.candidate import finite
from gwbatch.superevents.explained import why_not
from gwbatch.superevents.ranking import is_complete, is_significant, preference

PNG = b"\x89PNG"
DECISION = "decision: "
TAIL = 20_000  # bytes shown from the end of a job's output
PAYLOAD = 100_000  # bytes shown from the beginning of a message's payload
PREFERENCE = ("complete", "ok_S", "far_S", "ok_L", "far_L", "group_rank", "n_ifos", "snr or -far")


def superevent(
    ledger: Ledger, name: str, policy: Policy, gracedb: str = "", now: float | None = None
) -> dict[str, Any] | None:
    """Return everything about one superevent, given by local key or GraceDB ID, or None if it does not exist.

    Parameters
    ----------
    now : float or None
        Unix time in s at which the bars of unfinished jobs end; None for the current time.
    """
    mirror = SupereventStore(ledger.connection)
    found = mirror.superevent(name) or mirror.superevent_named(name)
    if found is None:
        return None
    products = mirror.products(found.key)
    own_jobs, own_effects = jobs(ledger, [found.key, *found.events]), effects(ledger, found.key, limit=500)
    notices, timeline = list(_notices(ledger, found)), sorted(_timeline(ledger, found), key=lambda entry: entry["at"])
    decisions = [entry for entry in timeline if entry["what"].startswith(DECISION)]
    return {
        "key": found.key,
        "superevent_id": found.superevent_id,
        "category": found.category,
        "t_start": found.t_start,
        "t_0": found.t_0,
        "t_end": found.t_end,
        "preferred": found.preferred,
        "labels": list(found.labels),
        "gracedb": _link(gracedb, "superevents", found.superevent_id),
        "summary": summary(ledger, found),
        "story": story(
            courses(ledger, [found.key])[0],
            own_jobs,
            own_effects,
            [{**one, "action": one["what"].removeprefix(DECISION), "reason": one["text"]} for one in decisions],
            notices,
            time.time() if now is None else now,
        ),
        "members": [_member(mirror, graceid, found.preferred, policy, gracedb) for graceid in found.events],
        "coincidences": list(_coincidences(ledger, found)),
        "products": [
            {"name": product.name, "version": product.version, "here": product.path is not None, "facts": product.facts}
            for product in products.values()
        ],
        "jobs": own_jobs,
        "effects": own_effects,
        "notices": notices,
        "commands": [
            command(ledger, "superevent", "annotate", found.superevent_id or found.key),
            command(ledger, "alerts", "preview", found.superevent_id or found.key),
            *(
                command(ledger, "superevent", "prefer", found.superevent_id or found.key, graceid)
                for graceid in found.events
                if graceid != found.preferred
            ),
        ],
        "timeline": timeline,
    }


def _notices(ledger: Ledger, found: Superevent) -> Iterator[dict[str, Any]]:
    """Yield the public notices about a superevent, each with its latency breakdown."""
    for one in public_notices.about(ledger.connection, found.key):
        shown = alerts.notice(ledger, str(one.id))
        if shown is not None:
            yield {name: value for name, value in shown.items() if name != "record"}


def _member(mirror: SupereventStore, graceid: str, chosen: str, policy: Policy, gracedb: str) -> dict[str, Any]:
    event = mirror.event(graceid)
    if event is None:
        return {"graceid": graceid}
    rank = dict(zip(PREFERENCE, preference(event, policy), strict=True))
    preferred = mirror.event(chosen)
    return {
        "graceid": graceid,
        "pipeline": event.pipeline,
        "search": event.search,
        "far": event.far,
        "snr": event.snr,
        "instruments": sorted(event.instruments),
        "labels": sorted(event.labels),
        "complete": is_complete(event, policy),
        "significant": is_significant(event, policy),
        "preference": rank,
        "why": "" if preferred is None or graceid == chosen else why_not(event, preferred, policy),
        "gracedb": _link(gracedb, "events", graceid),
    }


def _coincidences(ledger: Ledger, found: Superevent) -> Iterator[dict[str, Any]]:
    externals = ExternalStore(ledger.connection)
    for one in externals.coincidences(superevent=found.key):
        event = externals.get(one.match.external)
        if event is not None:
            yield {
                "external": event.key,
                "graceid": event.graceid,
                "observatory": event.observatory,
                "trigger_id": event.trigger_id,
                "search": event.search,
                "grb": event.is_burst,
                "reasons": list(event.reasons),
                "dt": one.match.dt,
                "far_time": one.match.far_time,
                "overlap": one.match.overlap,
                "far_spacetime": finite(one.match.far_spacetime),
                "chosen": one.chosen,
                "announced": one.announced,
            }


def _timeline(ledger: Ledger, found: Superevent) -> Iterator[dict[str, Any]]:
    """Yield the history of a superevent: alerts, decisions with their reasons, finished effects, and jobs."""
    for row in ledger.read(
        query("timeline"),
        (found.key,),
    ):
        detail = json.loads(row["detail"])
        if row["published"] is not None and not row["ours"]:
            yield {"at": row["published"], "what": "alert", "text": f"published on {row['topic']}"}
        yield {"at": row["at"], "what": f"{DECISION}{row['action']}", "text": row["reason"], "detail": detail}
    for effect in effects(ledger, found.key, limit=500):
        if effect["finished"] is not None:
            yield {"at": effect["finished"], "what": effect["kind"], "text": f"{effect['key']} {effect['state']}"}
    for job in jobs(ledger, [found.key, *found.events]):
        if job["started"] is not None:
            yield {"at": job["started"], "what": "job started", "text": f"{job['key']} on {job['host'] or '?'}"}
        if job["finished"] is not None:
            yield {"at": job["finished"], "what": f"job {job['state']}", "text": f"{job['key']} {job['reason'] or ''}"}


def effects(ledger: Ledger, subject: str, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest effects whose keys begin with a subject."""
    rows = ledger.read(
        query("effects_of_subject"),
        (f"{subject}/", f"{subject}0", limit),  # 0 is the character after /
    )
    return [dict(row) for row in rows]


def jobs(ledger: Ledger, subjects: list[str]) -> list[dict[str, Any]]:
    """Return the jobs of the given subjects, oldest first."""
    rows = ledger.read(query("jobs_of_subjects"), (json.dumps(subjects),))
    return [dict(row) for row in rows]


def job(ledger: Ledger, key: str) -> dict[str, Any] | None:
    """Return one job with its request, its result, what people ordered, and the tails of its stdout and stderr."""
    rows = ledger.read("SELECT * FROM jobs WHERE key = ?", (key,))
    if not rows:
        return None
    found = dict(rows[0])
    for name in ("request", "result", "avoid"):
        found[name] = None if found[name] is None else json.loads(found[name])
    folder = Path(found["directory"] or "/nonexistent")
    orders = possible_orders(JobState(found["state"]))
    commands = [command(ledger, "jobs", what, key) for what in orders]
    return {
        **found,
        "orders": orders,
        "commands": commands,
        "ordered": [dict(row) for row in ledger.read(query("orders_of_job"), (key,))],
        "stdout": _tail(folder / "stdout"),
        "stderr": _tail(folder / "stderr"),
    }


def command(ledger: Ledger, *words: str) -> str:
    """Return a command that acts on this ledger, quoted for pasting into a shell."""
    state = [] if ledger.path is None else ["--state", str(ledger.path.parent)]
    return shlex.join(["gwbatch", *words, *state])


def _tail(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - TAIL))
            return stream.read(TAIL).decode(errors="replace")
    except OSError:
        return None


def dead_letter(ledger: Ledger, name: str) -> dict[str, Any] | None:
    """Return a dead message (``m17``) or effect (``e5``), with the beginning of its payload as text.

    Returns None if there is no such message or effect, or if the name is invalid.
    """
    try:
        kind, number = dead_letters.parse(name)
    except ConfigError:
        return None
    rows = ledger.read(query("dead_message" if kind == "m" else "dead_effect"), (number,))
    return {"name": name, **{column: _text(value) for column, value in dict(rows[0]).items()}} if rows else None


def _text(value: Any) -> Any:
    return value[:PAYLOAD].decode(errors="replace") if isinstance(value, bytes) else value


def picture(ledger: Ledger, subject: str, name: str) -> Path | None:
    """Return the path of a PNG that one of our jobs made, or None if there is none.

    The path comes from the ledger, never from the caller.
    """
    product = SupereventStore(ledger.connection).product(subject, name)
    if product is None or product.path is None or not name.endswith(".png"):
        return None
    path = Path(product.path)
    try:
        with path.open("rb") as stream:
            return path if stream.read(len(PNG)) == PNG else None
    except OSError:
        return None


def _link(gracedb: str, kind: str, name: str | None) -> str | None:
    return f"{gracedb.rstrip('/').removesuffix('/api')}/{kind}/{name}/view/" if gracedb and name else None
