"""A campaign as an MPI program, in which rank 0 deals to all ranks, itself included, and alone opens the table.

Ranks import no science modules, and science processes do not use MPI.  Ranks poll and never block inside MPI, where
waiting occupies a core.  When a rank dies, the job ends, and the next one continues from the table.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping
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

# Variables in which launchers give the number of ranks, the most direct first.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
ENDING = 30.0  # s to wait until all ranks confirm that they have ended
PMIX = ("OMPI_COMM_WORLD_SIZE", "PMIX_RANK")  # set by launchers that speak PMIx, which the MPICH from pip does not
PREFERRED_UNDER_PMIX = (f"{sys.prefix}/lib/libmpi.so.40", "libmpi.so.40", "libmpi.so.12")  # Open MPI, then a site's own
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Hello(msgspec.Struct, frozen=True, tag=True):
    """A rank's report of its host, cores and memory (MB)."""

    host: str
    cores: int
    memory: float


class Begin(msgspec.Struct, frozen=True, tag=True):
    """Rank 0's instruction on how a rank uses its node."""

    share: Share


class Deal(msgspec.Struct, frozen=True, tag=True):
    """An event that rank 0 deals to a rank."""

    task: Task


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The outcome of an event, from a rank."""

    outcome: Outcome


class Return(msgspec.Struct, frozen=True, tag=True):
    """Rank 0's request to return all events that have not started."""


class End(msgspec.Struct, frozen=True, tag=True):
    """Rank 0's instruction to end at once; the rank replies with the same message when it has ended."""


Message: TypeAlias = Hello | Begin | Deal | Answer | Return | End


class Post:
    """Non-blocking JSON messages between this rank and others."""

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
        """Send a message without waiting for the other side to receive it."""
        data = msgspec.json.encode(message)
        self._sending.append((self._comm.Isend([data, self._mpi.BYTE], dest=rank), data))
        self._sending = [(request, kept) for request, kept in self._sending if not request.Test()]

    def receive(self, rank: int) -> Message | None:
        """Return the next message from a rank, or None if there is none yet."""
        status = self._mpi.Status()
        if not self._comm.Iprobe(source=rank, status=status):
            return None
        data = bytearray(status.Get_count(self._mpi.BYTE))
        self._comm.Recv([data, self._mpi.BYTE], source=rank, tag=status.Get_tag())
        message: Message = msgspec.json.decode(data, type=Message)
        return message

    def abort(self) -> None:
        """Abort all ranks, because one of them can no longer answer."""
        self._comm.Abort(1)

    def flush(self, seconds: float) -> None:
        """Wait until all messages are sent, for at most `seconds`."""
        end = time.monotonic() + seconds
        while self._sending and time.monotonic() < end:
            self._sending = [(request, kept) for request, kept in self._sending if not request.Test()]
            time.sleep(POLL)


class Rank:
    """Another rank, seen from rank 0 as a place for tasks."""

    def __init__(self, post: Post, rank: int) -> None:
        self._post, self._rank = post, rank
        self.name, self.size = f"rank-{rank}", 0
        self.hello: Hello | None = None
        self.ended = self._closed = False
        self._has: dict[int, Task] = {}

    def begin(self, wanted: Share) -> None:
        """Start the rank's crew with its share of the node."""
        self._post.send(self._rank, Begin(wanted))
        self.size = wanted.size

    def give(self, task: Task) -> None:
        """Send a task to the rank."""
        self._has[task.id] = task
        self._post.send(self._rank, Deal(task))

    def poll(self) -> list[Outcome]:
        """Process the rank's messages, and return the outcomes among them."""
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
        """Request the tasks that have not started; they come back as ``stopped`` outcomes."""
        self._post.send(self._rank, Return())
        return []

    def close(self) -> list[Task]:
        """Tell the rank to end, and return its unfinished tasks."""
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
        If MPI is not installed, or does not match the launcher.
    """
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)  # a killed launcher may leave its ranks running
    choose_library(os.environ)
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except (RuntimeError, ImportError) as error:
        raise ConfigError(
            f"Cannot start MPI: {error}. Install an MPI library beside mpi4py (pip install 'gwbatch[mpi]' adds MPICH), "
            "set MPI4PY_LIBMPI to the path of the library that fits the launcher, or run without --mpi."
        ) from error
    post = Post(MPI)
    check_size(post.size, os.environ)
    return post


def choose_library(environment: MutableMapping[str, str]) -> None:
    """Have mpi4py prefer Open MPI under launchers that speak PMIx.

    Otherwise it loads the MPICH that is installed beside it, which aborts there.  A library that the user has chosen
    stays.
    """
    if "PMI_RANK" in environment or "MPI4PY_MPIABI" in environment:
        return
    if any(name in environment for name in PMIX):
        environment.setdefault("MPI4PY_LIBMPI", os.pathsep.join(PREFERRED_UNDER_PMIX))


def check_size(size: int, environment: Mapping[str, str]) -> None:
    """Compare the number of ranks with the number that the launcher has started.

    Raises
    ------
    ConfigError
        If they differ.  Usually each process then sees itself as the only rank.
    """
    name = next((name for name in SIZES if environment.get(name)), None)
    if name is not None and int(environment[name]) != size:
        raise ConfigError(
            f"Cannot run as {environment[name]} MPI ranks: the launcher has started that many ({name}), but each sees "
            f"{size}. The launcher and the MPI library are incompatible. Use the mpiexec of this environment, or "
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
    """Wait on rank 0 for every rank's resources, give each rank its share of its node, and return all places.

    Parameters
    ----------
    waiting : callable
        Called while waiting for ranks; returns whether to stop waiting.
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
    """End all other ranks and poll on rank 0 until they have ended, so that none blocks inside MPI.

    Abort the program if some do not end in time.
    """
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
    """Work on the events that rank 0 deals to this rank until rank 0 ends it.

    A rank that fails aborts the whole program, because rank 0 would otherwise wait for it indefinitely.
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
