"""The progress of a running campaign, written to ``status.json`` and passed to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from gwbatch.campaigns.folder import Folder, write

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
        CPU time of the events done, divided by the number of processes times the elapsed time.
    seconds_left : float or None
        Estimate of the time until everything is done.
    nodes : dict
        Number of processes by node.
    ended : bool
        Whether this run has ended.
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

    @property
    def rate(self) -> float | None:
        """The number of events done per hour."""
        passed = self.updated - self.began
        return self.done * 3600 / passed if passed > 0 and self.done else None


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
        )
        write(self._folder.status, live)
        on_progress(live)


def read(folder: Folder) -> Live | None:
    """Return the last report, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(folder.status.read_bytes(), type=Live)
    except (OSError, msgspec.DecodeError):
        return None
