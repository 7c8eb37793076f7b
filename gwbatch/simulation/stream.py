"""The triggers and notices of a scenario, with the times at which pipelines and observatories send them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from gwbatch import mdc
from gwbatch.demo.pipelines import Trigger
from gwbatch.external.voevent import VOEvent
from gwbatch.gpstime import unix_to_utc, utc_to_gps
from gwbatch.simulation.scenario import Scenario, Stream

SEARCH_DELAY = 8.0  # s from the merger to the first upload
BURST_DELAY = 15.0  # s from the burst to Fermi's notice


@dataclass(frozen=True)
class Upload:
    """A pipeline's upload and its time (Unix s)."""

    at: float
    trigger: Trigger
    content: bytes


@dataclass(frozen=True)
class Notice:
    """An observatory's notice, its time (Unix s), its topic and the listener that receives it."""

    at: float
    content: bytes
    topic: str
    listener: str = "gcn"


Arrival = Upload | Notice


def arrivals(scenario: Scenario, begin: float) -> list[Arrival]:
    """Return all uploads and notices of a scenario in order of time.

    Parameters
    ----------
    begin : float
        Start time of the simulation (Unix s).
    """
    found: list[Arrival] = []
    for name, stream in scenario.streams.items():
        chance = random.Random(f"{scenario.seed} {name}")
        for number, after in enumerate(_times(stream, scenario.duration, chance)):
            found += _event(stream, f"{name}{number}", begin + after, chance)
    return sorted(found, key=lambda one: one.at)


def _times(stream: Stream, duration: float, chance: random.Random) -> Iterator[float]:
    """Yield the times of the events in seconds since the start."""
    yield from stream.at
    after = chance.expovariate(1 / stream.every) if stream.every else duration
    while after < duration:
        yield after
        after += chance.expovariate(1 / stream.every)


def _event(stream: Stream, name: str, merger: float, chance: random.Random) -> Iterator[Arrival]:
    """Yield the uploads of one event, and the notice of its burst if it has one."""
    gps = utc_to_gps(unix_to_utc(merger))
    number = mdc.EVENTS.index(stream.event)
    for order, pipeline in enumerate(stream.pipelines):
        far = chance.choice(stream.far)
        at = merger + SEARCH_DELAY + (chance.uniform(0.0, stream.late) if order else 0.0)
        yield Upload(at, Trigger(pipeline, stream.event, far, stream.search), mdc.mock_event(number, gps, far))
    if stream.burst:
        content = mdc.fermi_notice(gps + mdc.AFTER_MERGER, f"{chance.randrange(10**8, 10**9)}", 150.0, 20.0, name)
        yield Notice(merger + mdc.AFTER_MERGER + BURST_DELAY, content, VOEvent(content).topic)
