"""What became of a simulation, as numbers and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.reports.milestones import courses, statistics, summary
from gwbatch.simulation import query
from gwbatch.simulation.pool import Moment
from gwbatch.simulation.world import World


class Outcome(msgspec.Struct, frozen=True):
    """The numbers of one simulation.

    Attributes
    ----------
    superevents, events, notices : int
        How many there were; notices that would have been sent.
    milestones : dict
        Count, quantiles and maximum of the seconds from the first alert to each milestone.
    decision_to_map : dict
        The same of the seconds from the planning of a sky map to its end.
    waited : dict
        The same of the seconds that whole-node jobs waited for their node.
    longest_queue : int
        Whole-node jobs that waited at once.
    node_hours : float
        For which our jobs had whole nodes.
    dead : int
        Messages and effects that were given up.
    queue : list of Moment
        The queue over time, in seconds from the beginning.
    """

    superevents: int
    events: int
    notices: int
    milestones: dict[str, dict[str, float]]
    decision_to_map: dict[str, float]
    waited: dict[str, float]
    longest_queue: int
    node_hours: float
    dead: int
    queue: list[Moment]


def outcome_of(world: World) -> Outcome:
    """Read what became of a simulation from its ledger and its pool."""
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
        node_hours=world.pool.node_seconds / 3600.0,
        dead=counts["dead"],
        queue=[Moment(one.at - world.begin, one.waiting, one.running) for one in history],
    )


def draw(outcomes: Mapping[str, Outcome], picture: Path) -> None:
    """Draw the queue of each simulation over time."""
    from gwbatch.jobs.charts import queues

    queues({name: [(one.at, one.waiting, one.running) for one in each.queue] for name, each in outcomes.items()},
           output=picture)  # fmt: skip


def plain(found: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON has it."""
    return dict(msgspec.to_builtins(found))
