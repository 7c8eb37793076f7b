"""What is to be simulated, as it stands in a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.errors import BadInput
from gwbatch.mdc import EVENTS

HOUR = 3600.0


class Seconds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long something takes: as often measured, or a median with a spread.

    Attributes
    ----------
    median : float
        Seconds.
    spread : float
        Ratio of the 84th percentile to the median (log-normal); 1: always the same.
    measured : list of float
        Seconds that were measured; if there are any, one of them is drawn each time.
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
        Whole nodes that jobs of the queue ``openmp`` can get.
    slots : int
        Jobs of other queues that run at once, on the submit host or on parts of nodes.
    start : Seconds
        From the submission of a whole-node job to its start on a node that is free.
    start_others : Seconds
        The same of the other jobs.
    run : dict of str to Seconds
        How long a job of a kind runs.
    run_others : Seconds
        How long a job of a kind that is not among them does.
    load : float
        Fraction of the time that a node is in the hands of others.
    load_length : float
        Seconds that they keep it, on average.
    preempted : float
        How often an hour a whole-node job is thrown off its node; it waits and begins again.
    """

    nodes: int = 4
    slots: int = 4
    start: Seconds = Seconds(20.0, 1.6)
    start_others: Seconds = Seconds(0.3, 1.5)
    run: dict[str, Seconds] = msgspec.field(default_factory=lambda: dict(RUN))
    run_others: Seconds = Seconds(2.0, 1.5)
    load: float = 0.0
    load_length: float = 1800.0
    preempted: float = 0.0

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.slots < 1:
            raise ValueError("a pool has at least one node and one slot")
        if not 0 <= self.load < 1:
            raise ValueError("load must be at least 0 and less than 1")


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events of one sort.

    Attributes
    ----------
    every : float
        Seconds between two events on average, at random; 0: only those of `at`.
    at : list of float
        Seconds after the beginning at which there is an event for certain.
    pipelines : list of str
        Who uploads each event; one that is named twice uploads twice.
    late : float
        Seconds after the event within which the uploads come.
    far : list of float
        False alarm rates in Hz, one of which is drawn for each upload.
    event : str
        The simulated event.
    search : str
        ``AllSky``, ``EarlyWarning``, ``MDC``...
    burst : bool
        Whether Fermi reports a burst with it.
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
            raise ValueError(f"there is no simulated event {self.event!r}; there are {', '.join(EVENTS)}")
        if not self.pipelines or not self.far:
            raise ValueError("a stream needs at least one pipeline and one false alarm rate")


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A simulation.

    Attributes
    ----------
    duration : float
        Seconds in which events come; the simulation ends when all that follows from them is done.
    seed : int
        The same seed gives the same events, and the same pool as far as it is asked the same.
    effect : Seconds
        How long a request to GraceDB takes; as many run at once as the site profile has workers.
    streams : dict of str to Stream
        By names of your own.
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
    """Make a scenario of plain values.

    Raises
    ------
    BadInput
        If they are invalid.
    """
    try:
        return msgspec.convert(values, Scenario, strict=False)
    except msgspec.ValidationError as error:
        raise BadInput(f"Cannot use the scenario {origin}: {error}.") from error
