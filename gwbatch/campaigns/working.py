"""A worker on a node without MPI, which claims chunks from the shared folder until none is left.

Workers need no coordinator.  Each one regularly tries to become the owner, writes the reports into the table and puts
failed events into chunks again.  A worker that finds nothing to claim also hands in the chunks of dead workers.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass, field

import msgspec

from gwbatch.campaigns.chunks import BEAT_EVERY, Beat, Beating, Chunk, Chunks, no_beat
from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.dealer import FAILURES_IN_A_ROW
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.lease import TAKE_OVER_AFTER, start_of
from gwbatch.campaigns.node import cores, memory, share
from gwbatch.campaigns.owning import POLL, Stopping
from gwbatch.campaigns.products import load
from gwbatch.campaigns.running import owned
from gwbatch.campaigns.table import Table
from gwbatch.campaigns.tasks import Outcome
from gwbatch.config.campaign import NodeSettings
from gwbatch.errors import AlreadyRunning, LeaseLost, TransientError
from gwbatch.failpoints import hit

TEND_EVERY = 20.0  # s
LOOK_AROUND_EVERY = 2.0  # s, for a worker that has nothing to do
LAST_WORDS = 20.0  # s to wait until the last reports are in the table


@dataclass
class _Open:
    """A claimed chunk, the events in it that are not finished, and what those that are done took.

    Attributes
    ----------
    predicted, wall : float
        Predicted CPU s and wall s of the events that are done.
    """

    chunk: Chunk
    left: set[int] = field(default_factory=set)
    predicted: float = 0.0
    wall: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Count an event that has come to its end."""
        self.left.discard(outcome.id)
        if outcome.how == "done":
            self.predicted += sum(task.predicted for task in self.chunk.tasks if task.id == outcome.id)
            self.wall += outcome.wall


class Worker:
    """A worker with one crew on this node."""

    def __init__(self, folder: Folder, nodes: NodeSettings) -> None:
        self._folder, self._settings = folder, load(folder)
        self._chunks = Chunks(folder.chunks)
        self._chunks.make()
        start = start_of(os.getpid())
        self.name = f"{socket.gethostname()}-{os.getpid()}-{start}"
        found = share(nodes, self._settings.products, cores(), memory())
        self._crew = Crew(
            folder, self._settings, self._settings.products, self.name,
            size=found.size, threads=found.threads, memory=found.memory,
        )  # fmt: skip
        job = os.environ.get("SLURM_JOB_ID", "")
        self._beat = Beat(self.name, socket.gethostname(), os.getpid(), start, job, found.size)
        self._open: dict[str, _Open] = {}
        # An event may be in two chunks, if an owner was killed while writing chunks.
        self._chunks_of: dict[int, set[str]] = {}
        self._failed: list[int] = []  # the latest failures in a row
        self._began, self._cpu = time.monotonic(), 0.0
        self._next_beat = self._next_tend = self._next_claim = self._refused_since = 0.0
        self.refused = ""  # why it last failed to update the table, or why it stopped early

    def work(self) -> int:
        """Work until there is nothing left for this worker, and return the number of events it has done."""
        with Stopping(self._folder.stop).listening() as stopping:
            try:
                while True:
                    self._show_life()
                    self._collect_outcomes()
                    if stopping.look():
                        self._crew.take_back()
                        if stopping.at_once or not self._crew.working:
                            break
                    elif self._is_at_fault():
                        self.refused = f"{len(self._failed)} events failed in a row here while other workers succeed"
                        break
                    elif not self._fill() and not self._crew.holding and not self._look_around():
                        break
                    self._tend_now_and_then()
                    time.sleep(POLL)
            finally:
                self._leave()
        return self._beat.done

    # ---- work -----------------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Claim chunks until every process has an event, and return whether there were any."""
        claimed = False
        while self._crew.holding < self._crew.size and time.monotonic() >= self._next_claim:
            chunk = self._chunks.claim(self.name)
            if chunk is None:
                self._next_claim = time.monotonic() + LOOK_AROUND_EVERY
                break
            hit("campaign.worker.claimed")
            claimed = True
            if chunk.file in self._open:
                continue  # a copy of a chunk that this worker already has
            self._open[chunk.file] = _Open(chunk, {task.id for task in chunk.tasks})
            for task in chunk.tasks:
                if task.id not in self._chunks_of:
                    self._crew.give(task)
                self._chunks_of.setdefault(task.id, set()).add(chunk.file)
        return claimed

    def _collect_outcomes(self) -> None:
        for outcome in self._crew.poll():
            self._cpu += outcome.cpu
            if outcome.how == "done":
                self._beat = msgspec.structs.replace(self._beat, done=self._beat.done + 1)
                self._failed.clear()
            elif outcome.how != "bad-input":
                self._failed.append(outcome.id)
            for file in self._chunks_of.pop(outcome.id, ()):
                opened = self._open[file]
                self._chunks.note(self.name, opened.chunk, [outcome])
                hit("campaign.worker.noted")
                opened.count(outcome)
                if not opened.left:
                    self._chunks.hand_in(self.name, file)
                    del self._open[file]

    def _is_at_fault(self) -> bool:
        """Return whether this node is at fault: many events in a row failed here while other workers succeed."""
        if len(self._failed) < FAILURES_IN_A_ROW:
            return False
        return any(beat.done for worker, beat in self._chunks.beats().items() if worker != self.name)

    def _take_blame(self) -> None:
        """Discount the failures of this node in chunks that have not been handed in."""
        excused = [Outcome(event, "stopped") for event in self._failed]
        for opened in self._open.values():
            own = {task.id for task in opened.chunk.tasks}
            self._chunks.note(self.name, opened.chunk, [one for one in excused if one.id in own])

    def _leave(self) -> None:
        """Hand in all chunks, which reports finished events and puts the others back."""
        self._crew.close()
        if self._is_at_fault():
            self._take_blame()
        for file in list(self._open):
            self._chunks.hand_in(self.name, file)
        self._chunks.leave(self.name)
        end = time.monotonic() + LAST_WORDS
        self._tend(deal=False)
        while self._chunks.has_reports and time.monotonic() < end:  # another owner may have missed our last reports
            time.sleep(LOOK_AROUND_EVERY / 4)
            self._tend(deal=False)

    def _show_life(self) -> None:
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT_EVERY
            self._beat = msgspec.structs.replace(
                self._beat,
                beat=self._beat.beat + 1,
                working=self._crew.working,
                age=now - self._began,
                cpu=self._cpu,
                ahead=sum(opened.predicted for opened in self._open.values()),
                ahead_wall=sum(opened.wall for opened in self._open.values()),
            )
            write(self._chunks.workers / f"{self.name}.json", self._beat)

    # ---- shared duties --------------------------------------------------------------------------------------------

    def _look_around(self) -> bool:
        """Update the table and check the other workers when idle, and return whether there may be more work."""
        self._next_claim = 0.0
        if self._tend(TAKE_OVER_AFTER):
            self._refused_since = 0.0
            return True
        if self._chunks.has_reports or self._chunks.has_work:
            # Another process is writing the table and may have missed our reports. Stay until they are collected.
            self._refused_since = self._refused_since or time.monotonic()
            time.sleep(LOOK_AROUND_EVERY / 4)
            return time.monotonic() - self._refused_since < LAST_WORDS
        self._refused_since = 0.0
        unknown = False
        for worker in self._chunks.holders():
            gone = self._chunks.is_gone(worker)
            if gone:
                self._chunks.bury(worker)
                shutil.rmtree(self._folder.unfinished / worker, ignore_errors=True)
                return True
            unknown = unknown or gone is None
        if unknown:
            time.sleep(LOOK_AROUND_EVERY)
        return unknown

    def _tend_now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._next_tend:
            self._next_tend = now + TEND_EVERY
            self._tend()

    def _tend(self, patience: float | None = None, *, deal: bool = True) -> bool:
        """Update the table unless another process owns it, and return whether there is a chunk to claim.

        Parameters
        ----------
        deal : bool
            Whether to put failed events into chunks again.  A worker that leaves does not, since it may be the last.
        """
        try:
            with owned(self._folder, patience=patience) as (held, table):
                prefix = f"{held.number:06d}"
                if deal:
                    return tend(self._chunks, table, self._settings.products, self._crew.size, prefix, held.beat)
                self._chunks.collect(table, held.beat)
                return self._chunks.has_work
        except (AlreadyRunning, LeaseLost, TransientError) as error:
            self.refused = str(error)
            return False


def tend(
    chunks: Chunks, table: Table, products: list[str], processes: int, prefix: str, beat: Beating = no_beat
) -> bool:
    """Collect the reports into the table, put waiting events into chunks, and return whether there are any to claim."""
    chunks.collect(table, beat)
    if chunks.is_empty:
        table.take_back_chunks()  # in case a chunk was lost
    chunks.lay(table, products, processes, prefix, beat=beat)
    return chunks.has_work
