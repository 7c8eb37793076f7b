"""Chunks of events for nodes without MPI, in a folder that the nodes share.

::

    chunks/todo/NAME.json             to do; a worker claims it by renaming it
    chunks/taken/WORKER/NAME.json     claimed by that worker
    chunks/taken/WORKER/NAME.part     outcomes of its events so far, one per line
    chunks/done/NAME.json             the report with its outcomes, which the owner of the table collects
    chunks/workers/WORKER.json        the worker's heartbeat

When a worker is gone, its chunk is split.  Finished events are reported and the rest goes to another worker.  Two
workers on one chunk do no harm, because they write the same files and the table counts a chunk once.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.lease import start_of
from gwbatch.campaigns.table import Table, is_dangerous
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.errors import AlreadyRunning
from gwbatch.failpoints import hit

SECONDS = 180.0  # CPU s of a chunk for each process of a node
SMALLER_FOR_THE_LAST = 0.2  # the last fraction of the work, whose chunks are a quarter of the size
# A chunk that has lost SINGLE_AFTER workers is split into single events. After more than GIVEN_UP_AFTER it is given up.
SINGLE_AFTER, GIVEN_UP_AFTER = 3, 6
BEAT_EVERY, DEAD_AFTER = 5.0, 60.0  # s
AMONG = 16  # chunks at the head of the list, which each worker tries in random order

T = TypeVar("T")
Beating: TypeAlias = Callable[[], None]


def no_beat() -> None:
    """Do nothing, where no heartbeat is needed."""


class Chunk(msgspec.Struct, frozen=True):
    """A set of events that one worker claims together.

    Attributes
    ----------
    name : str
        Unique within the campaign, and never reused.
    generation : int
        Number of workers that had it before.
    losses : int
        Number of those that ended without handing it in.
    """

    name: str
    generation: int
    tasks: list[Task]
    losses: int = 0

    @property
    def file(self) -> str:
        return f"{self.name}.{self.generation}.json"


class Report(msgspec.Struct, frozen=True):
    """The outcomes of a chunk's events on one worker."""

    name: str
    worker: str
    outcomes: list[Outcome]


class Beat(msgspec.Struct, frozen=True):
    """A worker's heartbeat.

    Attributes
    ----------
    start : str
        Start time of its process, as its kernel reports it.
    age : float
        Seconds since its start.
    cpu : float
        CPU s of the events that it has finished.
    ahead, ahead_wall : float
        Predicted CPU s of the events that are done in chunks that it has not handed in, and the wall s that they took.
    """

    worker: str
    host: str
    pid: int
    start: str
    batch_id: str
    processes: int
    working: int = 0
    done: int = 0
    beat: int = 0
    age: float = 0.0
    cpu: float = 0.0
    ahead: float = 0.0
    ahead_wall: float = 0.0


@dataclass
class Chunks:
    """The folder of chunks."""

    path: Path
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def todo(self) -> Path:
        return self.path / "todo"

    @property
    def taken(self) -> Path:
        return self.path / "taken"

    @property
    def done(self) -> Path:
        return self.path / "done"

    @property
    def workers(self) -> Path:
        return self.path / "workers"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.todo, self.taken, self.done, self.workers):
            folder.mkdir(parents=True, exist_ok=True)

    # ---- workers --------------------------------------------------------------------------------------------------

    def claim(self, worker: str) -> Chunk | None:
        """Claim a chunk, or return None if there is none."""
        own = self.taken / worker
        own.mkdir(parents=True, exist_ok=True)
        names = sorted(_names(self.todo))
        head, rest = names[:AMONG], names[AMONG:]
        random.shuffle(head)
        for name in (*head, *rest):
            try:
                (self.todo / name).rename(own / name)
            except OSError:
                # On a network file system, a successful rename may still report that the source does not exist.
                if not (own / name).exists():
                    continue
            chunk = _read(own / name, Chunk)
            if chunk is not None:
                return chunk
            self._drop_torn(own / name)
        return None

    def claimed(self, worker: str, file: str) -> Chunk | None:
        """Return a chunk that a worker has claimed, or None if its file is missing or corrupt."""
        return _read(self.taken / worker / file, Chunk)

    @staticmethod
    def _drop_torn(path: Path) -> None:
        """Remove a corrupt chunk file.  Its events wait again once no other chunk is left."""
        if _is_torn(path, Chunk):
            path.unlink(missing_ok=True)

    def note(self, worker: str, chunk: Chunk, outcomes: Iterable[Outcome]) -> None:
        """Append outcomes of a claimed chunk's events to its ``.part`` file."""
        lines = b"".join(msgspec.json.encode(outcome) + b"\n" for outcome in outcomes)
        with self._part(worker, chunk.file).open("ab") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())

    def hand_in(self, worker: str, file: str, *, lost: bool = False) -> None:
        """Hand in a claimed chunk: report its outcomes, and put unfinished events back for another worker.

        Parameters
        ----------
        lost : bool
            Whether the worker ended without handing the chunk in, perhaps because of one of its events.
        """
        claimed = self.taken / worker / file
        chunk = _read(claimed, Chunk)
        if chunk is None:
            self._drop_torn(claimed)
            return
        noted = {one.id: one for one in self._noted(worker, file)}
        outcomes = {event: one for event, one in noted.items() if one.how != "stopped"}
        rest = [task for task in chunk.tasks if task.id not in outcomes]
        losses = chunk.losses + lost
        if losses > GIVEN_UP_AFTER:
            for task in rest:
                reason = f"{losses} workers that had it ended without handing it in"
                outcomes[task.id] = Outcome(task.id, "died", reason)
            rest = []
        report = Report(f"{chunk.name}.{chunk.generation}", worker, list(outcomes.values()))
        write(self.done / file, report, durable=True)
        hit("campaign.chunk.reported")
        for again in self._again(chunk, rest, losses):
            write(self.todo / again.file, again, durable=True)
        hit("campaign.chunk.put_back")
        claimed.unlink(missing_ok=True)
        self._part(worker, file).unlink(missing_ok=True)

    @staticmethod
    def _again(chunk: Chunk, rest: list[Task], losses: int) -> Iterator[Chunk]:
        generation = chunk.generation + 1
        if losses >= SINGLE_AFTER and len(rest) > 1:
            for task in rest:
                yield Chunk(f"{chunk.name}-{task.id}", generation, [task], losses)
        elif rest:
            yield Chunk(chunk.name, generation, rest, losses)

    def _part(self, worker: str, file: str) -> Path:
        return self.taken / worker / f"{file.removesuffix('.json')}.part"

    def _noted(self, worker: str, file: str) -> Iterator[Outcome]:
        try:
            lines = self._part(worker, file).read_bytes().split(b"\n")
        except OSError:
            return
        for line in filter(None, lines):
            try:
                yield msgspec.json.decode(line, type=Outcome)
            except msgspec.DecodeError:
                continue  # an incomplete line, left when a worker was killed

    # ---- heartbeats -----------------------------------------------------------------------------------------------

    def beats(self) -> dict[str, Beat]:
        """Return the heartbeats of all workers that have not left."""
        found = (_read(self.workers / name, Beat) for name in _names(self.workers))
        return {beat.worker: beat for beat in found if beat is not None}

    def last_sign(self, worker: str) -> float:
        """Return when a worker last wrote its heartbeat (Unix time in s by the file system's clock; 0 if never)."""
        try:
            return (self.workers / f"{worker}.json").stat().st_mtime
        except OSError:
            return 0.0

    def numbers(self) -> dict[str, int]:
        """Return the number of chunks to do, taken and done."""
        taken = sum(len(files) for files in self.holders().values())
        return {"todo": len(_names(self.todo)), "taken": taken, "done": len(_names(self.done))}

    def holders(self) -> dict[str, list[str]]:
        """Return the files of the claimed chunks by worker."""
        if not self.taken.is_dir():
            return {}
        folders = [entry.name for entry in os.scandir(self.taken) if entry.is_dir()]
        return {name: files for name in folders if (files := sorted(_names(self.taken / name)))}

    def is_gone(self, worker: str) -> bool | None:
        """Return whether a worker is gone, or None if that is not known yet and the caller must ask again later.

        A worker on this host is checked by its process.  One on another host is gone when its heartbeat has not
        changed for `DEAD_AFTER` seconds by the local clock.
        """
        beat = _read(self.workers / f"{worker}.json", Beat)
        if beat is None:
            return True
        if beat.host == socket.gethostname():
            return start_of(beat.pid) != beat.start
        now = time.monotonic()
        seen, since = self._seen.get(worker, (-1, now))
        if seen != beat.beat:
            fresh = seen < 0
            self._seen[worker] = (beat.beat, now)
            return None if fresh else False
        return True if now - since >= DEAD_AFTER else None

    def bury(self, worker: str) -> None:
        """Hand in the chunks of a worker that is gone."""
        for file in _names(self.taken / worker):
            self.hand_in(worker, file, lost=True)
        self.leave(worker)

    def leave(self, worker: str) -> None:
        """Remove the heartbeat and the folder of a worker that has no chunks left."""
        (self.workers / f"{worker}.json").unlink(missing_ok=True)
        try:
            (self.taken / worker).rmdir()
        except OSError:
            pass  # another process has removed it, or it is not empty

    # ---- the owner ------------------------------------------------------------------------------------------------

    def lay(
        self,
        table: Table,
        products: list[str],
        processes: int,
        prefix: str,
        at_least: int = 1,
        beat: Beating = no_beat,
        seconds: float = SECONDS,
    ) -> int:
        """Put all waiting events into chunks, and return the number of chunks.

        The table marks the events as dealt before the chunks are written.  Events that are marked but belong to no
        chunk wait again once no chunk is left.

        Parameters
        ----------
        processes : int
            Science processes per node.
        prefix : str
            Start of the chunks' names, which no earlier chunk has.
        at_least : int
            Minimum number of chunks to aim for, by making them smaller.
        beat : callable
            Called regularly to renew the owner's heartbeat.
        seconds : float
            CPU s of a chunk for each process.
        """
        waiting = table.waiting()
        total = sum(predicted for _, _, predicted in waiting)
        full = min(seconds * processes, total / at_least)
        groups: list[list[int]] = [[]]
        filled = dealt = 0.0
        for event, _, predicted in waiting:
            quarter = 0.25 if dealt > (1 - SMALLER_FOR_THE_LAST) * total else 1.0
            if filled >= full * quarter:
                groups.append([])
                filled = 0.0
            groups[-1].append(event)
            filled, dealt = filled + predicted, dealt + predicted
        named = {f"{prefix}-{number:06d}": group for number, group in enumerate(groups) if group}
        table.write({event: name for name, group in named.items() for event in group}, [], {})
        hit("campaign.chunks.laid")
        for name, group in named.items():
            beat()
            found = table.tasks(group, products)
            tasks = [
                msgspec.structs.replace(task, alone=is_dangerous(attempts, interruptions))
                for task, attempts, interruptions in (found[event] for event in group)
            ]
            write(self.todo / f"{name}.0.json", Chunk(name, 0, tasks))
        return len(named)

    def collect(self, table: Table, beat: Beating = no_beat) -> int:
        """Write the workers' reports into the table, and return the number of events settled."""
        events = 0
        for name in sorted(_names(self.done)):
            beat()
            report = _read(self.done / name, Report)
            if report is not None:
                events += table.take_in(report.name, report.worker, report.outcomes, time.time())
                hit("campaign.chunk.collected")
            if report is not None or _is_torn(self.done / name, Report):
                (self.done / name).unlink(missing_ok=True)
        return events

    @property
    def has_work(self) -> bool:
        """Whether there is a chunk to claim."""
        return bool(_names(self.todo))

    @property
    def has_reports(self) -> bool:
        """Whether there are reports that have not been collected."""
        return bool(_names(self.done))

    @property
    def is_empty(self) -> bool:
        """Whether there are no chunks to claim, no claimed chunks and no reports."""
        return not _names(self.todo) and not self.holders() and not _names(self.done)


def recall(folder: Folder, table: Table, beat: Beating = no_beat, patience: float = DEAD_AFTER) -> None:
    """Withdraw all chunks: collect the outcomes, and let the other events wait again.

    Raises
    ------
    AlreadyRunning
        If a worker is still alive.  Nothing has changed in that case.
    """
    chunks = Chunks(folder.chunks)
    if not chunks.path.is_dir():
        return
    end = time.monotonic() + patience + BEAT_EVERY
    while True:
        workers = {*chunks.holders(), *chunks.beats()}
        gone = {worker: chunks.is_gone(worker) for worker in workers}
        if all(gone.values()):
            break
        if False in gone.values() or time.monotonic() > end:
            names = sorted(worker for worker, is_gone in gone.items() if not is_gone)
            raise AlreadyRunning(
                f"Cannot work on {folder.path}: {len(names)} workers are working on it ({', '.join(names[:3])}). "
                "Stop them with 'gwbatch campaign stop' and wait until 'gwbatch campaign status' shows none."
            )
        beat()
        time.sleep(0.5)
    for worker in workers:
        beat()
        chunks.bury(worker)
    for name in _names(chunks.todo):
        (chunks.todo / name).unlink(missing_ok=True)
    chunks.collect(table, beat)
    table.take_back_chunks()


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if entry.name.endswith(".json") and entry.name[0] != "."]
    except FileNotFoundError:
        return []


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _is_torn(path: Path, kind: type[Chunk] | type[Report]) -> bool:
    """Return whether a file is readable but corrupt."""
    try:
        msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError:
        return False
    except msgspec.DecodeError:
        return True
    return False
