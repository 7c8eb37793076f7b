"""The owner's loop: deal, collect, write, until everything is done or somebody wants it to stop."""

from __future__ import annotations

import enum
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol

from gwbatch.campaigns.dealer import Dealer
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.lease import Lease
from gwbatch.campaigns.live import Live, Watch
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.errors import TransientError

POLL = 0.02  # s
LOOK_FOR_STOP = 1.0  # s

log = logging.getLogger(__name__)


class Place(Protocol):
    """Where tasks are worked at: a crew here, or a rank elsewhere."""

    name: str
    size: int

    def give(self, task: Task) -> None:
        """Send a task there."""
        ...

    def poll(self) -> list[Outcome]:
        """Return what has ended since the last call."""
        ...

    def take_back(self) -> list[Task]:
        """Give back what nobody has begun; what is elsewhere comes back as ``stopped``."""
        ...

    def close(self) -> list[Task]:
        """End at once; returns what was in hand."""
        ...


class Ending(enum.Enum):
    """How the owner's work ended."""

    OVER = "done"
    STOPPED = "stopped"
    STUCK = "stuck"


class Stopping:
    """Whether somebody wants the work to stop: by Ctrl-C, by a signal of the batch system, or by the file ``stop``."""

    def __init__(self, file: Path) -> None:
        self._file, self._next_look = file, 0.0
        self.wanted = self.at_once = False

    def look(self) -> bool:
        """Return whether to stop, and look for the file now and then."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_FOR_STOP
            self.wanted = self.wanted or self._file.exists()
        return self.wanted

    def interrupted(self, _number: int, _frame: FrameType | None) -> None:
        """Finish the events in hand after Ctrl-C; a second one does not wait for them."""
        self.at_once, self.wanted = self.wanted, True

    def terminated(self, _number: int, _frame: FrameType | None) -> None:
        """Stop within the seconds that the batch system gives."""
        self.at_once = self.wanted = True

    @contextmanager
    def listening(self) -> Iterator[Stopping]:
        """Take the signals meanwhile."""
        handlers = {signal.SIGINT: self.interrupted, signal.SIGTERM: self.terminated}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def own(
    folder: Folder,
    dealer: Dealer,
    lease: Lease,
    places: Sequence[Place],
    stopping: Stopping,
    on_progress: Callable[[Live], None] = lambda _: None,
) -> Ending:
    """Work until there is nothing left to do, and return how it ended.

    Raises
    ------
    LeaseLost
        If another process has taken over; nothing is written after that.
    """
    watch = Watch(folder, dealer, places)
    asked_back = False
    try:
        while True:
            for place in places:
                for outcome in place.poll():
                    dealer.settle(place.name, outcome)
            if stopping.look():
                if not asked_back:
                    asked_back = True
                    for place in places:
                        _stopped(dealer, place, place.take_back())
                if stopping.at_once or not dealer.in_hand:
                    return Ending.STOPPED
            else:
                for place in places:
                    _deal(dealer, place)
            try:
                dealer.commit()
            except TransientError as error:  # somebody reads for long, or the disk is full: later
                log.warning("%s", error)
            lease.beat()
            watch.look(on_progress)
            if dealer.is_over:
                return Ending.OVER
            if dealer.is_stuck:
                return Ending.STUCK
            time.sleep(POLL)
    finally:
        for place in places:
            _stopped(dealer, place, place.close())
        dealer.commit(now=True)
        watch.close(on_progress)


def _deal(dealer: Dealer, place: Place) -> None:
    if not place.size:
        return  # it has not said yet what it is good for
    dealer.join(place.name, place.size)
    while (task := dealer.take(place.name)) is not None:
        place.give(task)


def _stopped(dealer: Dealer, place: Place, tasks: Sequence[Task]) -> None:
    for task in tasks:
        dealer.settle(place.name, Outcome(task.id, "stopped"))
