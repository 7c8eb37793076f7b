"""The results of a simulation, as numbers and a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.ledger import standby
from gwbatch.reports.milestones import courses, statistics, summary
from gwbatch.simulation import query
from gwbatch.simulation.pool import Moment
from gwbatch.simulation.scenario import HOUR
from gwbatch.simulation.world import World


class Outcome(msgspec.Struct, frozen=True):
    """The results of one simulation.

    Attributes
    ----------
    superevents, events, notices : int
        Numbers of superevents and events, and of notices that would have been sent.
    milestones : dict
        Count, quantiles and maximum of the seconds from the first alert to each milestone.
    decision_to_map : dict
        The same for the seconds from planning a sky map to the end of its job.
    waited : dict
        The same for the seconds from planning a whole-node job to its start.
    longest_queue : int
        Largest number of whole-node jobs that waited at the same time.
    node_hours : float
        Hours for which our jobs occupied whole nodes, summed over nodes.
    standby : dict
        For each queue with pilots: the number of ``pilots``, the hours for which they were ``held``, ``busy`` and
        ``idle``, and the number of ``jobs`` that they did.
    dead : int
        Messages and effects that are dead.
    queue : list of Moment
        The queue over time, in seconds since the start.
    """

    superevents: int
    events: int
    notices: int
    milestones: dict[str, dict[str, float]]
    decision_to_map: dict[str, float]
    waited: dict[str, float]
    longest_queue: int
    node_hours: float
    standby: dict[str, dict[str, float]]
    dead: int
    queue: list[Moment]


def outcome_of(world: World) -> Outcome:
    """Collect the results of a simulation from its ledger and its pool."""
    ledger = world.ledger
    jobs = ledger.read(query("jobs_done"))
    (counts,) = ledger.read(query("counts"))
    maps = [row["finished"] - row["created"] for row in jobs if row["kind"] == "localize"]
    whole = [row["started"] - row["created"] for row in jobs if row["queue"] == "openmp"]
    history = world.pool.history
    return Outcome(
        superevents=counts["superevents"],
        events=counts["events"],
        notices=counts["notices"],
        milestones=statistics(courses(ledger, limit=-1)),
        decision_to_map=summary(maps) if maps else {},
        waited=summary(whole) if whole else {},
        longest_queue=max((one.waiting for one in history), default=0),
        node_hours=world.pool.node_seconds / HOUR,
        standby={queue: _standby(world, queue) for queue in world.profile.standby},
        dead=counts["dead"],
        queue=[Moment(one.at - world.begin, one.waiting, one.running) for one in history],
    )


def _standby(world: World, queue: str) -> dict[str, float]:
    now = world.pool.clock.now()
    costs = standby.costs(world.ledger.connection, queue, world.begin, now)
    (done,) = world.ledger.read(query("jobs_by_pilots"), {"queue": queue})
    hours = {name: costs[name] / HOUR for name in ("held", "busy", "idle")}
    return {"pilots": costs["pilots"], "jobs": done["jobs"], **hours}


def draw(outcomes: Mapping[str, Outcome], picture: Path) -> None:
    """Plot the queue of each simulation over time."""
    from gwbatch.jobs.charts import queues

    queues({name: [(one.at, one.waiting, one.running) for one in each.queue] for name, each in outcomes.items()},
           output=picture)  # fmt: skip


def plain(found: Outcome) -> dict[str, Any]:
    """Return an outcome as plain JSON types."""
    return dict(msgspec.to_builtins(found))
