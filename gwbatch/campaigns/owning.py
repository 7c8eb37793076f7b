"""The owner's main loop, which deals events, collects outcomes and writes the table until it is done or stopped."""

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
    """A set of science processes: the crew of this process, or that of another rank."""

    name: str
    size: int

    def give(self, task: Task) -> None:
        """Hand over a task."""
        ...

    def poll(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        ...

    def take_back(self) -> list[Task]:
        """Return the tasks that have not started; those on another rank come back later as ``stopped`` outcomes."""
        ...

    def close(self) -> list[Task]:
        """Stop at once and return the unfinished tasks."""
        ...


class Ending(enum.Enum):
    """How the main loop ended."""

    OVER = "done"
    STOPPED = "stopped"
    STUCK = "stuck"


class Stopping:
    """Requests to stop: Ctrl-C, a signal from the batch system, or the file ``stop``."""

    def __init__(self, file: Path) -> None:
        self._file, self._next_look = file, 0.0
        self.wanted = self.at_once = False

    def look(self) -> bool:
        """Return whether to stop, checking for the file once per second."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_FOR_STOP
            self.wanted = self.wanted or self._file.exists()
        return self.wanted

    def interrupted(self, _number: int, _frame: FrameType | None) -> None:
        """Handle Ctrl-C: finish the running events the first time, stop at once the second time."""
        self.at_once, self.wanted = self.wanted, True

    def terminated(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM: stop at once, because the batch system allows only seconds."""
        self.at_once = self.wanted = True

    @contextmanager
    def listening(self) -> Iterator[Stopping]:
        """Handle the signals for the duration of the context."""
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
    """Run until the campaign is done, stopped or stuck, and return which.

    Raises
    ------
    LeaseLost
        If another process has taken over.  Nothing is written to the table after that.
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
            except TransientError as error:  # a long read or a full disk; the next commit tries again
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
        return  # the rank has not yet reported its resources
    dealer.join(place.name, place.size)
    while (task := dealer.take(place.name)) is not None:
        place.give(task)


def _stopped(dealer: Dealer, place: Place, tasks: Sequence[Task]) -> None:
    for task in tasks:
        dealer.settle(place.name, Outcome(task.id, "stopped"))
