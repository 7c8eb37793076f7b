"""The input of a simulation, as read from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.errors import BadInput
from gwbatch.mdc import EVENTS

HOUR = 3600.0


class Seconds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A random duration, drawn from measured values or from a log-normal distribution.

    Attributes
    ----------
    median : float
        Seconds.
    spread : float
        Ratio of the 84th percentile to the median; 1: always the median.
    measured : list of float
        Measured durations in seconds.  If there are any, one of them is drawn each time.
    """

    median: float = 0.0
    spread: float = 1.0
    measured: list[float] = []


RUN = {"localize": Seconds(45.0, 1.3), "combine-skymaps": Seconds(5.0, 1.3)}


class Pool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The batch system.

    Attributes
    ----------
    nodes : int
        Number of nodes for the whole-node jobs of the queue ``openmp``.
    slots : int
        Number of jobs from other queues that run at once, on the submit host or on nodes of their own; 0: they run
        on the nodes for whole-node jobs, one on each at a time.
    start : Seconds
        Time from the submission of a whole-node job to its start when a node is free.
    start_others : Seconds
        The same for all other jobs.
    run : dict of str to Seconds
        Run time of a job, by kind, or by kind and detectors of its event: ``localize`` or ``localize H1,L1``.
    run_others : Seconds
        Run time of a job of any other kind.
    start_warm : Seconds
        Time from the submission of a job to its start in a free pilot.
    imports : float
        Seconds of a job's run time that imports take.  A pilot has done them before.
    load : float
        Fraction of the time for which other users occupy a node.
    load_length : float
        Seconds for which they keep it, on average.
    preempted : float
        Average number of times per hour that a running whole-node job is preempted.  It then queues and starts over.
    """

    nodes: int = 4
    slots: int = 4
    start: Seconds = Seconds(20.0, 1.6)
    start_others: Seconds = Seconds(0.3, 1.5)
    run: dict[str, Seconds] = msgspec.field(default_factory=lambda: dict(RUN))
    run_others: Seconds = Seconds(2.0, 1.5)
    start_warm: Seconds = Seconds(0.06, 1.3)
    imports: float = 2.0
    load: float = 0.0
    load_length: float = 1800.0
    preempted: float = 0.0

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.slots < 0:
            raise ValueError("a pool needs at least one node, and the number of its slots cannot be negative")
        if not 0 <= self.load < 1:
            raise ValueError("load must be at least 0 and less than 1")


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stream of events of one type.

    Attributes
    ----------
    every : float
        Average number of seconds between random events; 0: only those given by `at`.
    at : list of float
        Times of additional events, in seconds since the start.
    pipelines : list of str
        Pipelines that upload each event.  One that is listed twice uploads twice.
    late : float
        Seconds after the first upload within which all others follow.
    far : list of float
        False alarm rates in Hz, one of which is drawn for each upload.
    event : str
        Name of the simulated event, e.g. ``bns_hlv``.
    search : str
        ``AllSky``, ``EarlyWarning``, ``MDC``...
    burst : bool
        Whether Fermi reports a burst with each event.
    """

    every: float = 0.0
    at: list[float] = []
    pipelines: list[str] = msgspec.field(default_factory=lambda: ["gstlal"])
    late: float = 10.0
    far: list[float] = msgspec.field(default_factory=lambda: [1e-9])
    event: str = "bns_hlv"
    search: str = "AllSky"
    burst: bool = False

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ValueError(f"there is no simulated event {self.event!r}; choose from {', '.join(EVENTS)}")
        if not self.pipelines or not self.far:
            raise ValueError("a stream needs at least one pipeline and one false alarm rate")


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A simulation.

    Attributes
    ----------
    duration : float
        Seconds during which events occur.  The simulation ends once everything that follows from them is done.
    seed : int
        The same seed gives the same events, and the same behaviour of the pool as long as it gets the same requests.
    effect : Seconds
        Duration of a request to GraceDB.  The site profile's ``effect_workers`` sets how many run at once.
    streams : dict of str to Stream
        Streams by name; any name will do.
    """

    duration: float = HOUR
    seed: int = 1
    effect: Seconds = Seconds(0.1, 1.5)
    pool: Pool = Pool()
    streams: dict[str, Stream] = msgspec.field(
        default_factory=lambda: {"binaries": Stream(every=600.0, pipelines=["gstlal", "pycbc", "MBTA"])}
    )


def read_scenario(path: Path) -> Scenario:
    """Read a scenario from a TOML file.

    Raises
    ------
    BadInput
        If it cannot be read or is invalid.
    """
    try:
        return scenario_from(tomllib.loads(path.read_text()), str(path))
    except (OSError, ValueError) as error:
        raise BadInput(f"Cannot read the scenario {path}: {error}.") from error


def scenario_from(values: dict[str, Any], origin: str) -> Scenario:
    """Make a scenario from plain values.

    Raises
    ------
    BadInput
        If they are invalid.
    """
    try:
        return msgspec.convert(values, Scenario, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"Cannot use the scenario {origin}: {error}.") from error
