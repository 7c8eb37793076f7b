"""Checks of the end state as a scientist would see it, in GraceDB and in the sky maps themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ligo.gracedb.rest import GraceDb

from gwbatch.annotation import COPIES, Scope, products_of
from gwbatch.annotation import PRODUCTS as ALL_PRODUCTS
from gwbatch.annotation.graph import COMBINED_MAP, EM_BRIGHT, EXTERNAL_MAP, FAR_FILE, MAP, MCHIRP_SOURCE, P_ASTRO
from gwbatch.config.policy import Policy
from gwbatch.demo import query
from gwbatch.demo.processes import DemoProcesses
from gwbatch.external import alert_topics
from gwbatch.ledger import Ledger
from gwbatch.orchestrator import SUPEREVENT_TOPICS

PRODUCTS = (
    MAP, EM_BRIGHT, MCHIRP_SOURCE, "bayestar.html", "bayestar.png", "bayestar.fits.gz", "em_bright.png",
)  # fmt: skip
OF_THE_PIPELINE = (P_ASTRO, "p_astro.png")  # with the prefix PIPELINE.
VOLUME = "bayestar.volume.png"
COMPLETE = {"SKYMAP_READY", "EMBRIGHT_READY", "PASTRO_READY"}
LABELS = {"EM_READY", "SIGNIF_LOCKED", "LOW_SIGNIF_LOCKED", *COMPLETE}
ANNOUNCED = {"GCN_PRELIM_SENT", "DQR_REQUEST", "ADVOK"}
RETRACTED = {"LOW_SIGNIF_PRELIM_SENT", "ADVNO"}
COINCIDENT_LABELS = {"EM_COINC", "RAVEN_ALERT", "COMBINEDSKYMAP_READY"}  # and HIGH_PROFILE on the superevent
LESS_SIGNIFICANT_LABELS = {"EM_READY", "LOW_SIGNIF_LOCKED", *COMPLETE}
NORMALISED_WITHIN = 1e-6
SAME_TIME = 1e-3  # s


def find_problems(
    client: GraceDb,
    ledger: Ledger,
    expected: Sequence[tuple[Sequence[str], set[str]]],
    folder: Path,
    *,
    volume: bool,
) -> Iterator[str]:
    """Yield every problem with the superevents in GraceDB, and all unfinished work.

    Parameters
    ----------
    expected : sequence
        The members and labels of each superevent.
    folder : Path
        Where to save the products.
    volume : bool
        Whether to expect the volume plot.
    """
    found = {tuple(sorted(s["gw_events"])): s for s in client.superevents("category: Production")}
    if len(found) != len(expected):
        yield f"{len(found)} superevents in GraceDB instead of {len(expected)}"
    for members, labels in expected:
        superevent = found.get(tuple(sorted(members)))
        if superevent is None:
            yield f"no superevent with the members {', '.join(members)}"
            continue
        yield from _superevent(client, superevent, labels, folder, volume)
    yield from unfinished(ledger)


def find_coincidence_problems(client: GraceDb, member: str, trigger_id: str, dt: float, folder: Path) -> Iterator[str]:
    """Yield every problem with the coincidence between a member's superevent and an external trigger.

    Parameters
    ----------
    dt : float
        Time of the gravitational wave minus that of the trigger, in s.
    folder : Path
        Where to save the sky maps and the plot.
    """
    superevent = next(client.superevents(client.event(member).json()["superevent"]))
    name = superevent["superevent_id"]
    events = [event for event in client.events("External") if _trigger_id(event) == trigger_id]
    if len(events) != 1:
        yield f"{len(events)} external events of trigger {trigger_id} instead of one"
        return
    (event,) = events
    wanted = COINCIDENT_LABELS | {"EXT_SKYMAP_READY"}
    if set(event["labels"]) != wanted:
        yield f"{event['graceid']}: labels {sorted(event['labels'])} instead of {sorted(wanted)}"
    if (superevent["em_events"], superevent["em_type"]) != ([event["graceid"]], event["graceid"]):
        yield f"{name}: external events {superevent['em_events']}, preferred {superevent['em_type']}"
    for target in (name, event["graceid"]):
        files = _files(client, target)
        yield from (f"{target}: no {product.name}" for product in products_of(Scope.PAIR) if product.name not in files)
        rates = client.files(target, FAR_FILE).json() if FAR_FILE in files else {}
        if abs(rates.get("time_difference", float("inf")) - dt) > SAME_TIME:
            yield f"{target}: {FAR_FILE} has the time difference {rates.get('time_difference')} s instead of {dt} s"
        if not (rates.get("skymap_overlap") or 0) > 1:
            yield f"{target}: the sky maps do not agree (overlap {rates.get('skymap_overlap')})"
    for target, product in ((event["graceid"], EXTERNAL_MAP), (name, COMBINED_MAP), (name, "combined-ext.png")):
        if product in _files(client, target):
            place = folder / target / product
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(client.files(target, product).read())
            if product.endswith(".fits"):
                yield from _map(place, target)


def _trigger_id(event: dict[str, Any]) -> Any:
    return event["extra_attributes"].get("GRB", {}).get("trigger_id")


def _superevent(
    client: GraceDb, superevent: dict[str, Any], labels: set[str], folder: Path, volume: bool
) -> Iterator[str]:
    name = superevent["superevent_id"]
    if superevent["preferred_event"] not in superevent["gw_events"]:
        yield f"{name}: preferred event {superevent['preferred_event']} is no member"
    if set(superevent["labels"]) != labels:
        yield f"{name}: labels {sorted(superevent['labels'])} instead of {sorted(labels)}"
    for event in superevent["gw_events"]:
        if MAP not in _files(client, event):
            yield f"{event}: no {MAP}"
    files = _files(client, name)
    pipeline = client.event(superevent["preferred_event"]).json()["pipeline"].lower()
    theirs = [f"{pipeline}.{product}" for product in OF_THE_PIPELINE]
    for product in (*PRODUCTS, *theirs, *([VOLUME] if volume else [])):
        if product not in files:
            yield f"{name}: no {product}"
            continue
        if files[product] != 1:
            yield f"{name}: {product} was uploaded {files[product]} times"
        place = folder / name / product
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(client.files(name, product).read())
    if MAP in files:
        yield from _map(folder / name / MAP, name)


def received(folder: Path) -> list[dict[str, Any]]:
    """Return the notices that the astronomer has received so far, in order."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9]*.json"))]


def find_alert_problems(found: Sequence[dict[str, Any]], expected: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield every problem with the notices that the astronomer received.

    Parameters
    ----------
    expected : mapping
        Superevent to the notices expected about it on every topic, in order: ``PRELIMINARY``,
        ``PRELIMINARY (less significant)``, ``INITIAL+Fermi`` ... A preliminary notice may mention the external event or
        not.
    """
    topics: dict[str, dict[str, list[str]]] = {}
    for one in found:
        notice = one["notice"]
        about = f"the {notice.get('alert_type')} of {notice.get('superevent_id')} on {one['topic']}"
        yield from (f"{about}: {wrong}" for wrong in one["wrong"])
        for name, described in one["maps"].items():
            if not abs(described["probability"] - 1) < NORMALISED_WITHIN:
                yield f"{about}: the probability of its {name} is {described['probability']}, not 1"
        if notice.get("event") is not None and "skymap" not in one["maps"]:
            yield f"{about} has no sky map"
        what = describe(notice).partition("+")[0] if notice.get("alert_type") == "PRELIMINARY" else describe(notice)
        topics.setdefault(one["topic"], {}).setdefault(notice.get("superevent_id"), []).append(what)
    for topic, notices in topics.items():
        for superevent in sorted({*expected, *notices}):
            if notices.get(superevent, []) != list(expected.get(superevent, ())):
                yield f"{superevent} on {topic}: {notices.get(superevent)} instead of {expected.get(superevent)}"
    identities = {topic: sorted(one["_id"] for one in found if one["topic"] == topic) for topic in topics}
    if len({tuple(ids) for ids in identities.values()}) > 1:
        yield "the identities of the notices differ from topic to topic"


def describe(notice: Mapping[str, Any]) -> str:
    """Return the type of a notice, whether it is less significant, and the observatory of its external event."""
    event, external = notice.get("event"), notice.get("external_coinc")
    less = " (less significant)" if event is not None and not event["significant"] else ""
    return f"{notice.get('alert_type')}{less}{'+' + external['observatory'] if external else ''}"


@dataclass(frozen=True)
class Made:
    """A product of a superevent, who made it, and when it became available (Unix s)."""

    superevent: str
    name: str
    maker: str
    created: float


def products(ledger: Ledger) -> Iterator[Made]:
    """Yield the products of every superevent and its preferred event, without copies, in order of creation for each."""
    rows = ledger.read(query("products_shown"))
    declared, copies = {product.name: product for product in ALL_PRODUCTS}, {copied.name for copied in COPIES}
    for row in rows:
        name, facts = row["name"], json.loads(row["facts"])
        is_copy = name in copies and row["subject"] != row["preferred"]
        if name not in declared or is_copy:
            continue
        ours = f"gwbatch ({facts.get('method') or declared[name].job})"
        maker = json.loads(row["data"])["pipeline"] if row["path"] is None else ours
        yield Made(row["graceid"], facts.get("filename", name), maker, row["created"])


def _files(client: GraceDb, name: str) -> dict[str, int]:
    """Return the files of an event or superevent and how many versions each has."""
    listed = [entry["filename"] for entry in client.files(name).json()["files"]]
    return {bare: sum(entry.startswith(f"{bare},") for entry in listed) for bare in listed if "," not in bare}


def _map(path: Path, name: str) -> Iterator[str]:
    total = total_probability(path)
    if not abs(total - 1.0) < NORMALISED_WITHIN:
        yield f"{name}: the sky map's probability is {total}, not 1"


def total_probability(path: Path) -> float:
    """Integrate a multi-order map's probability density over the sphere."""
    from gwbatch.jobs.science import offline_astropy

    offline_astropy()
    import numpy as np
    from ligo.skymap.io import read_sky_map

    table = read_sky_map(str(path), moc=True)
    order = np.log2(table["UNIQ"] / 4).astype(int) // 2
    area = np.pi / 3 / 4.0**order
    return float(np.sum(np.asarray(table["PROBDENSITY"]) * area))


def pending_work(stage: DemoProcesses, ledger: Ledger, policy: Policy) -> list[str]:
    """List the work that is still pending, from alerts not yet received to effects not yet carried out."""
    (counts,) = ledger.read(query("counts"))
    coming = stage.alerts_published([*policy.topics, *SUPEREVENT_TOPICS, *alert_topics()]) - counts["alerts"]
    return [*([f"{coming} alerts not received"] if coming else []), *unfinished(ledger)]


def unfinished(ledger: Ledger) -> Iterator[str]:
    """Yield messages, effects and jobs that are not done."""
    (counts,) = ledger.read(query("counts"))
    for what in ("messages", "effects", "jobs"):
        if counts[what]:
            yield f"{counts[what]} {what} not done"


def events_heard(ledger: Ledger) -> int:
    """Count the events and external events that have arrived."""
    return int(ledger.read(query("counts"))[0]["events"])
