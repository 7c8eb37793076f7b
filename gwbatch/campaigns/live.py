"""What goes on now: ``status.json``, for whoever looks, and the progress of who runs it."""

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
    done, set_aside, left, in_hand : int
        Events: done and set aside in this run; still to do.
    processes : int
        Science processes of all nodes.
    efficiency : float or None
        CPU time of the events done over processes and time.
    seconds_left : float or None
    nodes : dict
        Processes by node.
    ended : bool
        Nobody works on it any more.
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
        """Events an hour."""
        passed = self.updated - self.began
        return self.done * 3600 / passed if passed > 0 and self.done else None


class Watch:
    """Writes ``status.json`` now and then."""

    def __init__(self, folder: Folder, dealer: Dealer, places: Sequence[Place]) -> None:
        self._folder, self._dealer, self._places = folder, dealer, places
        self._began, self._begun, self._next = time.time(), time.monotonic(), 0.0

    def look(self, on_progress: Callable[[Live], None]) -> None:
        """Report, if it is time."""
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
    """Return the last report, if there is one."""
    try:
        return msgspec.json.decode(folder.status.read_bytes(), type=Live)
    except (OSError, msgspec.DecodeError):
        return None
