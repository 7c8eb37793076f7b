"""The progress of a running campaign, which its owner writes to ``status.json``, and workers to their heartbeats."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from gwbatch.campaigns.chunks import Beat
from gwbatch.campaigns.estimate import Estimate
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.table import DEALT, WAITING, counts

if TYPE_CHECKING:
    from gwbatch.campaigns.dealer import Dealer
    from gwbatch.campaigns.owning import Place

EVERY = 1.0  # s
STALE = 30.0  # s


class Live(msgspec.Struct, frozen=True):
    """``status.json``.

    Attributes
    ----------
    began, updated : float
        Unix time (s) of the start of this run, and of this report.
    done, set_aside : int
        Events done and set aside in this run.
    left, in_hand : int
        Events that no node has yet, and events that nodes hold.
    processes : int
        Science processes on all nodes.
    efficiency : float or None
        CPU time of the events, divided by the number of processes times the elapsed time.  For parcels, of those that
        have come back.
    seconds_left : float or None
        Estimate of the time until everything is done.
    nodes : dict
        Number of processes by node.
    ended : bool
        Whether this run has ended.
    rate : float or None
        Number of events done per hour.
    """

    began: float
    updated: float
    done: int
    set_aside: int
    left: int
    in_hand: int
    processes: int
    efficiency: float | None
    seconds_left: float | None
    nodes: dict[str, int]
    ended: bool = False
    rate: float | None = None


def rate(events: int, seconds: float) -> float | None:
    """Return the number of events per hour, or None if there are none."""
    return 3600 * events / seconds if events and seconds > 0 else None


def of_workers(connection: sqlite3.Connection, beats: Mapping[str, Beat], updated: Mapping[str, float]) -> Live:
    """Return the progress of the workers that are at work, each of which counts from its own start.

    Parameters
    ----------
    beats : mapping
        Heartbeat by worker; at least one.
    updated : mapping
        When each was written (Unix time in s).
    """
    states, workers = counts(connection), list(beats.values())
    processes, working = sum(one.processes for one in workers), sum(one.working for one in workers)
    held = sum(one.processes * one.age for one in workers)
    estimate = Estimate.of_table(connection)
    for one in workers:
        estimate.measured_elsewhere(one.ahead, one.ahead_wall)
    rates = [rate(one.done, one.age) or 0.0 for one in workers]
    nodes: Counter[str] = Counter()
    for one in workers:
        nodes[one.host] += one.processes
    return Live(
        began=min(updated[name] - one.age for name, one in beats.items()),
        updated=max(updated.values()),
        done=sum(one.done for one in workers),
        set_aside=0,
        left=max(0, states[WAITING] + states[DEALT] - working),
        in_hand=working,
        processes=processes,
        efficiency=sum(one.cpu for one in workers) / held if held else None,
        seconds_left=estimate.seconds(processes),
        nodes=dict(nodes),
        rate=sum(rates) or None,
    )


class Watch:
    """The periodic writer of ``status.json``."""

    def __init__(self, folder: Folder, dealer: Dealer, places: Sequence[Place]) -> None:
        self._folder, self._dealer, self._places = folder, dealer, places
        self._began, self._begun, self._next = time.time(), time.monotonic(), 0.0

    def look(self, on_progress: Callable[[Live], None]) -> None:
        """Report if a report is due."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + EVERY
            self._report(on_progress, ended=False)

    def close(self, on_progress: Callable[[Live], None]) -> None:
        """Report one last time."""
        self._report(on_progress, ended=True)

    def _report(self, on_progress: Callable[[Live], None], *, ended: bool) -> None:
        dealer, passed = self._dealer, time.monotonic() - self._begun
        nodes = {place.name: place.size for place in self._places if place.size}
        processes = sum(nodes.values())
        live = Live(
            self._began,
            time.time(),
            dealer.done,
            dealer.set_aside,
            dealer.left,
            dealer.in_hand,
            processes,
            dealer.cpu / (processes * passed) if processes and passed else None,
            dealer.estimate.seconds(processes),
            nodes,
            ended,
            rate(dealer.done, passed),
        )
        write(self._folder.status, live)
        on_progress(live)


def read(folder: Folder) -> Live | None:
    """Return the last report, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(folder.status.read_bytes(), type=Live)
    except (OSError, msgspec.DecodeError):
        return None
