"""The results of a simulation or of a recorded period, as numbers and a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.ledger import Ledger, standby
from gwbatch.reports.milestones import courses, statistics, summary
from gwbatch.simulation import query
from gwbatch.simulation.pool import WHOLE, Moment
from gwbatch.simulation.recorded import SETTLED, Recording
from gwbatch.simulation.scenario import HOUR, Scenario
from gwbatch.simulation.stream import Arrival
from gwbatch.simulation.world import World


class Outcome(msgspec.Struct, frozen=True):
    """The results of one simulation, or what really happened in a period.

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


def simulate(
    scenario: Scenario,
    policy: Policy,
    profile: Profile,
    folder: Path,
    begin: float,
    arrivals: Sequence[Arrival] = (),
    on_progress: Callable[[float], None] = lambda _: None,
) -> Outcome:
    """Run one simulation, with the parameters of a `World`, and return its results; the ledger stays in `folder`."""
    world = World(scenario, policy, profile, folder, begin, arrivals, on_progress)
    world.run()
    with closing(world.ledger):
        return outcome_of(world)


def outcome_of(world: World) -> Outcome:
    """Collect the results of a simulation from its ledger and its pool."""
    period = (world.begin, world.pool.clock.now())
    pool = world.pool
    return _outcome(world.ledger, period, lambda _: True, pool.history, pool.node_seconds, world.profile.standby)


def recorded_outcome(ledger: Ledger, recording: Recording, queues: Iterable[str]) -> Outcome:
    """Collect what really happened with the events that a ledger recorded, and with their superevents.

    Pilots and what was given up count for the period from the first arrival until an hour after the last one.

    Parameters
    ----------
    queues : iterable of str
        Queues that may have had pilots.
    """
    period = (recording.begin, recording.end + SETTLED)
    joined = {row["graceid"]: row["superevent"] for row in ledger.read(query("superevents_of_events"))}
    ours = {*recording.graceids, *(joined.get(graceid) or graceid for graceid in recording.graceids)}
    done = [job for job in ledger.read(query("jobs_done")) if job["subject"] in ours]
    jobs = [job for job in done if job["queue"] == WHOLE and not job["warm"]]
    held = [standby.costs(ledger.connection, queue, *period)["held"] for queue in queues]
    seconds = sum(job["finished"] - job["started"] for job in jobs) + sum(held)
    found = _outcome(ledger, period, lambda subject: subject in ours, _history(jobs), seconds, queues)
    return msgspec.structs.replace(found, events=len(recording.graceids))


def _outcome(
    ledger: Ledger,
    period: tuple[float, float],
    is_ours: Callable[[str], bool],
    history: list[Moment],
    node_seconds: float,
    queues: Iterable[str],
) -> Outcome:
    begin, end = period
    jobs = [one for one in ledger.read(query("jobs_done")) if is_ours(one["subject"])]
    notices = ledger.read(query("notices_frozen"))
    superevents = [one for one in courses(ledger, limit=-1) if is_ours(one.key)]
    (counts,) = ledger.read(query("counts"), {"since": begin, "until": end})
    maps = [row["finished"] - row["created"] for row in jobs if row["kind"] == "localize"]
    whole = [row["started"] - row["created"] for row in jobs if row["queue"] == WHOLE]
    return Outcome(
        superevents=len(superevents),
        events=counts["events"],
        notices=sum(is_ours(one["superevent"]) for one in notices),
        milestones=statistics(superevents),
        decision_to_map=summary(maps) if maps else {},
        waited=summary(whole) if whole else {},
        longest_queue=max((one.waiting for one in history), default=0),
        node_hours=node_seconds / HOUR,
        standby={queue: _standby(ledger, queue, begin, end) for queue in queues},
        dead=counts["dead"],
        queue=[Moment(one.at - begin, one.waiting, one.running) for one in history],
    )


def _standby(ledger: Ledger, queue: str, begin: float, end: float) -> dict[str, float]:
    costs = standby.costs(ledger.connection, queue, begin, end)
    (done,) = ledger.read(query("jobs_by_pilots"), {"queue": queue, "since": begin, "until": end})
    hours = {name: costs[name] / HOUR for name in ("held", "busy", "idle")}
    return {"pilots": costs["pilots"], "jobs": done["jobs"], **hours}


def _history(jobs: Iterable[Any]) -> list[Moment]:
    """Return the queue over time of jobs that have been submitted, started and finished."""
    changes = []
    for job in jobs:
        changes += [(job["submitted"], 1, 0), (job["started"], -1, 1), (job["finished"], 0, -1)]
    found = [Moment(0.0, 0, 0)]
    for at, waiting, running in sorted(changes):
        found.append(Moment(at, found[-1].waiting + waiting, found[-1].running + running))
    return found[1:]


def draw(outcomes: Mapping[str, Outcome], picture: Path) -> None:
    """Plot the queue of each simulation over time."""
    from gwbatch.jobs.charts import queues

    queues({name: [(one.at, one.waiting, one.running) for one in each.queue] for name, each in outcomes.items()},
           output=picture)  # fmt: skip


def plain(found: Outcome) -> dict[str, Any]:
    """Return an outcome as plain JSON types."""
    return dict(msgspec.to_builtins(found))
