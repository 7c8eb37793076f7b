"""The sender, which owns a campaign whose nodes do not see its folder: it sends parcels and takes the results in.

A parcel is a chunk that the sender has claimed, so all rules for chunks apply: what a lost parcel held goes out again
in another one.  A sender that is killed leaves its parcels in the queue, and the next sender takes them over.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from gwbatch.campaigns import parcels
from gwbatch.campaigns.chunks import Chunks
from gwbatch.campaigns.dealer import FAILURES_IN_A_ROW
from gwbatch.campaigns.estimate import Estimate
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.lease import Lease
from gwbatch.campaigns.live import Live, rate
from gwbatch.campaigns.owning import Ending, Stopping
from gwbatch.campaigns.products import load
from gwbatch.campaigns.running import owned, take_over
from gwbatch.campaigns.table import DEALT, DONE, SET_ASIDE, WAITING, NodeFacts, Table, counts
from gwbatch.errors import TransientError
from gwbatch.failpoints import hit
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.campaign import Parcel, ParcelJobs

SECONDS = 1200.0  # CPU s of a parcel for each process of a node
PARCELS_PER_NODE = 4  # at least, so that faster nodes can do more
ASK_EVERY = 5.0  # s
POLL = 0.2  # s
PREFIX = "parcel-"

log = logging.getLogger(__name__)


def send(
    folder: Folder,
    batch: ParcelJobs,
    *,
    nodes: int,
    cores: int,
    on_progress: Callable[[Live], None] = lambda _: None,
) -> Ending:
    """Send a campaign's events out in parcels until all are done, or it is stopped, and return which.

    Ctrl-C or the file ``stop`` sends no more, takes back the parcels that have not started and waits for the others.
    SIGTERM or a second Ctrl-C ends at once; the parcels stay in the queue.

    Parameters
    ----------
    nodes : int
        Maximum number of parcels that are out at a time.
    cores : int
        Cores of a node, which decide the size of a parcel.

    Raises
    ------
    AlreadyRunning
        If another process works on the campaign.
    SchedulerError
        If the batch system refuses a parcel for good.
    """
    with owned(folder) as (held, table), Stopping(folder.stop).listening() as stopping:
        return _Sender(folder, batch, nodes, cores, held, table).run(stopping, on_progress)


class _Sender:
    def __init__(self, folder: Folder, batch: ParcelJobs, nodes: int, cores: int, held: Lease, table: Table) -> None:
        self._folder, self._batch, self._held, self._table = folder, batch, held, table
        self._nodes, self._cores = nodes, cores
        self._settings = load(folder)
        self._chunks = Chunks(folder.chunks)
        self._chunks.make()
        self._count = 0
        self._has_taken_over = False
        self._succeeded: set[str] = set()  # hosts on which an event was done
        # Hosts that get no more parcels, also those of a sender before us.
        self._at_fault = {host for host, facts in table.nodes().items() if facts.at_fault is not None}
        self._failed: Counter[str] = Counter()  # by host: events that failed there since one was done
        self._jobs: Mapping[str, str] = {}  # parcels in the queue, with their states
        self._running: dict[str, float] = {}  # parcels that are running, and since when by the monotonic clock
        self._processes = cores  # on a node
        self._cpu = self._process_seconds = 0.0  # of the parcels that have come back
        self._began, self._begun = time.time(), time.monotonic()
        self._before = counts(table.connection)

    def run(self, stopping: Stopping, on_progress: Callable[[Live], None]) -> Ending:
        next_look, ending = 0.0, Ending.STOPPED
        while not stopping.at_once:
            self._held.beat()
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + ASK_EVERY
                try:
                    self._look(stopping=stopping.look())
                    self._report(on_progress)
                    if self._is_over():
                        ending = Ending.OVER
                        break
                    if stopping.wanted and not self._out():
                        break
                except (TransientError, SchedulerBusy, OSError) as error:
                    log.warning("%s: trying again, because of: %s", self._folder.path, error)
            time.sleep(POLL)
        self._report(on_progress, ended=True)
        return ending

    # ---- one look -------------------------------------------------------------------------------------------------

    def _look(self, *, stopping: bool) -> None:
        """Take in what has come back, then send what there is to send.

        An error at any point leaves a state from which the next look, or the next sender, continues.
        """
        self._jobs = self._batch.parcels(self._folder.path)
        running = (name for name, state in self._jobs.items() if state == "running")
        self._running = {name: self._running.get(name, time.monotonic()) for name in running}
        out = self._out()
        for stray in set(self._jobs) - set(out):  # of a sender whose campaign was taken over in between
            self._batch.take_back(self._folder.path, stray)
        for name, file in out.items():
            state = self._jobs.get(name)
            if state == "held":
                log.warning("%s of %s is held, so its events are sent again", name, self._folder.path)
            if state == "held" or (stopping and state == "waiting"):
                self._batch.take_back(self._folder.path, name)
                self._hand_in(name, file, lost=state == "held")
            elif state is None:
                self._receive(name, file)
        if not self._has_taken_over and not self._out():
            take_over(self._folder, self._held, self._table)
            self._at_fault.clear()  # the table has forgiven them
        self._has_taken_over = True
        self._chunks.collect(self._table, self._held.beat)
        if stopping:
            return
        self._lay()
        while len(self._out()) < self._nodes and self._send_one():
            self._held.beat()

    def _out(self) -> dict[str, str]:
        """Return the file of the chunk in each parcel that is out, by the parcel's name."""
        return {name: files[0] for name, files in self._chunks.holders().items() if name.startswith(PREFIX)}

    def _lay(self) -> None:
        if self._chunks.is_empty:
            self._table.take_back_chunks()
        if self._table.waiting():
            self._count += 1
            self._chunks.lay(
                self._table, self._settings.products, self._cores, f"{self._held.number:06d}-{self._count:06d}",
                self._nodes * PARCELS_PER_NODE, self._held.beat, SECONDS,
            )  # fmt: skip

    def _is_over(self) -> bool:
        found = counts(self._table.connection)
        return found["done"] + found[SET_ASIDE] == found.total()

    # ---- parcels --------------------------------------------------------------------------------------------------

    def _place(self, name: str) -> Path:
        return self._folder.parcels / name

    def _sent(self, name: str) -> Path:
        """Return the file that says that the batch system has accepted a parcel."""
        return self._place(name) / "sent"

    def _parcel(self, name: str) -> Parcel:
        return Parcel(self._folder.path, name, self._place(name), sorted(self._at_fault))

    def _send_one(self) -> bool:
        """Claim a chunk and send it, and return whether there was one."""
        self._count += 1
        name = f"{PREFIX}{self._held.number:06d}-{self._count:06d}"
        chunk = self._chunks.claim(name)
        if chunk is None:
            self._chunks.leave(name)
            return False
        hit("campaign.parcel.claimed")
        parcel = self._parcel(name)
        parcel.place.mkdir(parents=True, exist_ok=True)
        parcels.pack(self._settings, chunk, parcel.parcel, self._held.beat)
        self._batch.send(parcel)
        hit("campaign.parcel.sent")
        self._sent(name).touch()
        return True

    def _receive(self, name: str, file: str) -> None:
        """Take in the results of a parcel that has left the queue, or put its events back if there are none."""
        chunk = self._chunks.claimed(name, file)
        result = self._parcel(name).result
        did = parcels.returned(result, chunk) if chunk is not None else None
        if chunk is None or did is None:
            log.warning("%s of %s came back without results", name, self._folder.path)
            self._hand_in(name, file, lost=self._sent(name).exists())
            return
        is_at_fault = self._is_at_fault(did)
        outcomes = did.outcomes
        if is_at_fault:  # on a node where nothing succeeds, only what is wrong with an event itself counts
            outcomes = [*did.outcomes[: did.kept], *(one for one in did.own if one.how == "bad-input")]
        done = {outcome.id for outcome in outcomes if outcome.how == "done"}
        parcels.unpack(result, self._folder, self._table.undone(done), self._folder.unfinished / name, self._held.beat)
        hit("campaign.parcel.unpacked")
        self._chunks.note(name, chunk, outcomes)
        self._hand_in(name, file, lost=False)
        self._learn(did, is_at_fault)

    def _is_at_fault(self, did: parcels.Returned) -> bool:
        """Return whether too many events have failed in a row on a host while others do well."""
        failed = self._failed[did.host] + _failures(did)
        others = self._succeeded - self._at_fault - {did.host}
        others_do_well = any(not self._failed[other] for other in others)
        return not _succeeded(did) and failed >= FAILURES_IN_A_ROW and others_do_well

    def _learn(self, did: parcels.Returned, is_at_fault: bool) -> None:
        """Count what a host has done, once its parcel is handed in, and avoid the host if it is at fault."""
        self._cpu += sum(outcome.cpu for outcome in did.outcomes)
        self._process_seconds += did.held
        self._processes = did.processes
        if _succeeded(did):
            self._succeeded.add(did.host)
            self._failed[did.host] = 0
            return
        self._failed[did.host] += _failures(did)
        if is_at_fault:
            self._at_fault.add(did.host)
            why = f"{self._failed[did.host]} events failed in a row while other nodes succeeded"
            log.warning("%s gets no more events: %s", did.host, why)
            self._table.write({}, [], {did.host: NodeFacts(failures=self._failed[did.host], at_fault=why)})

    def _hand_in(self, name: str, file: str, *, lost: bool) -> None:
        self._chunks.hand_in(name, file, lost=lost)
        hit("campaign.parcel.handed_in")
        self._chunks.leave(name)
        shutil.rmtree(self._place(name), ignore_errors=True)
        shutil.rmtree(self._folder.unfinished / name, ignore_errors=True)

    # ---- progress -------------------------------------------------------------------------------------------------

    def _report(self, on_progress: Callable[[Live], None], *, ended: bool = False) -> None:
        found, now = counts(self._table.connection), time.monotonic()
        done = found[DONE] - self._before[DONE]
        processes = len(self._running) * self._processes
        estimate = Estimate.of_table(self._table.connection)
        estimate.spent(sum(self._processes * (now - since) for since in self._running.values()))
        live = Live(
            began=self._began,
            updated=time.time(),
            done=done,
            set_aside=found[SET_ASIDE] - self._before[SET_ASIDE],
            left=found[WAITING],
            in_hand=found[DEALT],
            processes=processes,
            efficiency=self._cpu / self._process_seconds if self._process_seconds else None,
            seconds_left=estimate.seconds(processes),
            nodes=dict.fromkeys(self._running, self._processes),
            ended=ended,
            rate=rate(done, now - self._begun),
        )
        write(self._folder.status, live)
        on_progress(live)


def _failures(did: parcels.Returned) -> int:
    return sum(outcome.how in ("failed", "died") for outcome in did.own)


def _succeeded(did: parcels.Returned) -> bool:
    return any(outcome.how == "done" for outcome in did.own)
