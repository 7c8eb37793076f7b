"""A campaign as an MPI program: rank 0 deals to all ranks, itself included, and alone opens the table.

No rank imports any science; no science process knows MPI.  Nobody waits inside MPI, where waiting costs a core:
everything is polled.  When a rank dies the job is over, and the next one goes on from the table.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.node import Share, cores, memory, share
from gwbatch.campaigns.owning import POLL, Place
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.config.campaign import NodeSettings
from gwbatch.errors import ConfigError, missing_package

# What launchers say about the number of ranks, the most direct first.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
ENDING = 30.0  # s for all ranks to say that they have ended
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Hello(msgspec.Struct, frozen=True, tag=True):
    """A rank tells where it is and what it has: cores and MB."""

    host: str
    cores: int
    memory: float


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 tells a rank how to use its node."""

    share: Share


class Deal(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 sends an event."""

    task: Task


class Answer(msgspec.Struct, frozen=True, tag=True):
    """A rank sends how one went."""

    outcome: Outcome


class Return(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 wants back what has not begun."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 ends a rank, whatever it is at; the rank says the same when it has."""


Message: TypeAlias = Hello | Begin | Deal | Answer | Return | End


class Post:
    """Messages as JSON between this rank and others, without waiting."""

    def __init__(self, mpi: Any) -> None:
        self._mpi, self._comm = mpi, mpi.COMM_WORLD
        self._sending: list[tuple[Any, bytes]] = []

    @property
    def rank(self) -> int:
        return int(self._comm.rank)

    @property
    def size(self) -> int:
        return int(self._comm.size)

    def send(self, rank: int, message: Message) -> None:
        """Send a message; it leaves as soon as the other side takes it."""
        data = msgspec.json.encode(message)
        self._sending.append((self._comm.Isend([data, self._mpi.BYTE], dest=rank), data))
        self._sending = [(request, kept) for request, kept in self._sending if not request.Test()]

    def receive(self, rank: int) -> Message | None:
        """Return the next message of a rank, if there is one."""
        status = self._mpi.Status()
        if not self._comm.Iprobe(source=rank, status=status):
            return None
        data = bytearray(status.Get_count(self._mpi.BYTE))
        self._comm.Recv([data, self._mpi.BYTE], source=rank, tag=status.Get_tag())
        message: Message = msgspec.json.decode(data, type=Message)
        return message

    def abort(self) -> None:
        """End all ranks now: somebody will not answer any more."""
        self._comm.Abort(1)

    def flush(self, seconds: float) -> None:
        """Wait until everything has left, but no longer."""
        end = time.monotonic() + seconds
        while self._sending and time.monotonic() < end:
            self._sending = [(request, kept) for request, kept in self._sending if not request.Test()]
            time.sleep(POLL)


class Rank:
    """Another rank as a place where tasks are worked at."""

    def __init__(self, post: Post, rank: int) -> None:
        self._post, self._rank = post, rank
        self.name, self.size = f"rank-{rank}", 0
        self.hello: Hello | None = None
        self.ended = self._closed = False
        self._has: dict[int, Task] = {}

    def begin(self, wanted: Share) -> None:
        """Tell it how to use its node."""
        self._post.send(self._rank, Begin(wanted))
        self.size = wanted.size

    def give(self, task: Task) -> None:
        """Send a task there."""
        self._has[task.id] = task
        self._post.send(self._rank, Deal(task))

    def poll(self) -> list[Outcome]:
        """Return what the rank has sent since the last call."""
        outcomes = []
        while (message := self._post.receive(self._rank)) is not None:
            if isinstance(message, Answer):
                self._has.pop(message.outcome.id, None)
                outcomes.append(message.outcome)
            elif isinstance(message, Hello):
                self.hello = message
                self.name = f"{message.host}-{self._rank}"
            elif isinstance(message, End):
                self.ended = True
        return outcomes

    def take_back(self) -> list[Task]:
        """Ask for what has not begun: it comes back as ``stopped``."""
        self._post.send(self._rank, Return())
        return []

    def close(self) -> list[Task]:
        """End it."""
        if not self._closed:
            self._closed = True
            self._post.send(self._rank, End())
        tasks = list(self._has.values())
        self._has.clear()
        return tasks


def connect() -> Post:
    """Start MPI.

    Raises
    ------
    ConfigError
        If it is not there, or does not fit what has started us.
    """
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # a launcher that is killed may leave its ranks behind
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except (RuntimeError, ImportError) as error:
        raise ConfigError(
            f"Cannot start MPI: {error}. Install a library beside mpi4py (pip install 'gwbatch[mpi]' brings MPICH), "
            "or run without --mpi."
        ) from error
    post = Post(MPI)
    check_size(post.size, os.environ)
    return post


def check_size(size: int, environment: Mapping[str, str]) -> None:
    """Compare the number of ranks with what the launcher has started.

    Raises
    ------
    ConfigError
        If they differ: each process would believe that it is the only one.
    """
    name = next((name for name in SIZES if environment.get(name)), None)
    if name is not None and int(environment[name]) != size:
        raise ConfigError(
            f"Cannot run as {environment[name]} MPI ranks: the launcher has started so many ({name}), but each finds "
            f"{size}. The launcher and the MPI library do not fit together. Use the mpiexec of this environment, or "
            "set campaign.launcher in the site profile ('srun --mpi=list' shows what the site has)."
        )


def others(post: Post) -> list[Rank]:
    """Return all other ranks (on rank 0)."""
    return [Rank(post, number) for number in range(1, post.size)] if not post.rank else []


def gather(
    ranks: list[Rank],
    nodes: NodeSettings,
    products: list[str],
    crew: Callable[[Share], Crew],
    waiting: Callable[[], bool],
) -> list[Place]:
    """Wait on rank 0 until every rank has said what it has, share the nodes out, and return all places.

    Parameters
    ----------
    waiting : callable
        Called while ranks are awaited; returns whether to give that up.
    """
    while not all(rank.hello for rank in ranks) and not waiting():
        for rank in ranks:
            rank.poll()
        time.sleep(POLL)
    own = _hello()
    hellos = [own, *(rank.hello for rank in ranks if rank.hello)]
    on_host = Counter(hello.host for hello in hellos)

    def share_of(hello: Hello) -> Share:
        here = on_host[hello.host]
        return share(nodes, products, max(1, hello.cores // here), hello.memory / here)

    for rank in ranks:
        if rank.hello:
            rank.begin(share_of(rank.hello))
    return [crew(share_of(own)), *ranks]


def farewell(post: Post, ranks: list[Rank]) -> None:
    """Wait on rank 0, by polling, until all other ranks have ended, so that nobody waits for them inside MPI."""
    end = time.monotonic() + ENDING
    for rank in ranks:
        rank.close()
    while not all(rank.ended for rank in ranks) and time.monotonic() < end:
        for rank in ranks:
            rank.poll()
        time.sleep(POLL)
    post.flush(ENDING)
    if not all(rank.ended for rank in ranks):
        post.abort()


def serve(post: Post, folder: Folder, settings: CampaignSettings, products: list[str]) -> None:
    """Work on any other rank at what rank 0 deals, until rank 0 says that this is the end.

    A rank that cannot go on ends the whole program: rank 0 would wait for it indefinitely.
    """
    try:
        _serve(post, folder, settings, products)
    except BaseException:
        traceback.print_exc()
        post.abort()


def _serve(post: Post, folder: Folder, settings: CampaignSettings, products: list[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # rank 0 decides
    post.send(0, _hello())
    crew: Crew | None = None
    while True:
        message = post.receive(0)
        if isinstance(message, Begin):
            wanted = message.share
            name = f"{socket.gethostname()}-{post.rank}"
            crew = Crew(
                folder, settings, products, name, size=wanted.size, threads=wanted.threads, memory=wanted.memory
            )
        elif isinstance(message, End):
            break
        elif crew is not None and isinstance(message, Deal):
            crew.give(message.task)
        elif crew is not None and isinstance(message, Return):
            for task in crew.take_back():
                post.send(0, Answer(Outcome(task.id, "stopped")))
        for outcome in crew.poll() if crew is not None else ():
            post.send(0, Answer(outcome))
        if message is None:
            time.sleep(POLL)
    if crew is not None:
        crew.close()
    post.send(0, End())
    post.flush(ENDING)


def _hello() -> Hello:
    return Hello(socket.gethostname(), cores(unbind=True), memory())
