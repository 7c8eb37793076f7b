"""The pilot, a batch job that imports the science stack and forks a child for each task, but never computes itself.

The parent opens no parallel region, because with GNU OpenMP a child forked after one hangs.  BLAS gets one thread in
the parent.  The number of OpenMP threads is set before Python starts, as for every job.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.errors import GwbatchError
from gwbatch.failpoints import hit
from gwbatch.jobs.catalogue import Work, computation, job
from gwbatch.jobs.runner import run_directory
from gwbatch.jobs.science import without_mpi
from gwbatch.jobs.standby.channel import Channel, ChannelDown, FolderChannel
from gwbatch.jobs.standby.chirp import ChirpChannel
from gwbatch.jobs.standby.layout import Beat, PilotSettings, Task, pilot_name

KIND = "standby"
BEAT_EVERY = 1.0  # s between two heartbeats
ORDERS_EVERY = 2.0  # s between two reads of the orders
ABOUT_TO_END = 0.2  # s to wait for a child to exit before refusing a task
IDLE_WAIT, BUSY_WAIT = 0.5, 0.01  # s to wait for a task, without and with running children
RETRY = 0.5  # s before the next try after the channel was down
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

log = logging.getLogger(__name__)


@dataclass
class _Child:
    task: Task
    started: float
    folder: Path
    ended: Task | None = None


@job(queue="openmp", name=KIND)
def standby(work: Work) -> dict[str, Any]:
    """Serve tasks until it is time to leave; write to `Work.output` how the time was spent."""
    settings = msgspec.convert(work.parameters["pilot"], PilotSettings)
    channel: Channel
    channel = ChirpChannel(settings.folder) if settings.channel == "chirp" else FolderChannel(Path(settings.folder))
    pilot = Pilot(str(work.parameters["job"]), settings, channel)
    facts = pilot.serve()
    work.output.write_bytes(msgspec.json.format(msgspec.json.encode(facts)))
    return facts


def preload(kinds: Iterable[str], parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Import and prepare what these computations need; none of it may start a thread."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    without_mpi()
    for kind in kinds:
        for module in computation(kind).preload:
            import_module(module)
        prepare = computation(kind).prepare
        if prepare is not None:
            prepare(parameters.get(kind, {}))


class Pilot:
    """Takes tasks, forks a child for each, and delivers what the child leaves.

    Parameters
    ----------
    job : str
        Key of the pilot's batch job.
    """

    def __init__(self, job: str, settings: PilotSettings, channel: Channel) -> None:
        self._job, self._settings, self._channel = job, settings, channel
        self.name = pilot_name(job, time.time())
        self._children: dict[int, _Child] = {}
        self._by_name: dict[str, int] = {}
        self._claimed: dict[str, Task] = {}  # child not started yet
        self._leaving = ""
        self._beat = self._done = 0
        self._idle = self._busy = 0.0
        self._last_order_beat = -1
        self._next_beat = self._next_orders = float("-inf")
        self._ready = 0.0

    def serve(self) -> dict[str, Any]:
        """Serve tasks until it is time to leave, and return how the time was spent."""
        signal.signal(signal.SIGTERM, lambda *_: self._leave("ended by the batch system"))
        preload(self._settings.kinds, self._settings.parameters)
        self._ready = time.time()
        begun = self._heard = self._accounted = self._last_task = time.monotonic()
        while not (self._leaving and not self._children and not self._claimed):
            try:
                self._account()
                self._reap()
                self._report()
                self._look_at_orders()
                self._leave_if_due(begun)
                for name in list(self._claimed):
                    self._begin(name)
                self._take_what_is_offered()
            except (ChannelDown, OSError) as error:
                log.warning("%s", error)
                self._look_again_later()
        self._channel.close(self.name)
        return {"left_because": self._leaving, "idle": self._idle, "busy": self._busy, "tasks": self._done}

    # ---- tasks ----------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        return 0 if self._leaving else max(0, self._settings.room - len(self._children) - len(self._claimed))

    def _take_what_is_offered(self) -> None:
        wait = BUSY_WAIT if self._children else IDLE_WAIT
        if not self._room() and not self._channel.socket:
            time.sleep(wait)  # without a socket there are no callers to refuse
            return
        for name in self._channel.offers(wait):
            self._wait_for_room()
            if self._room():
                self._take(name)

    def _wait_for_room(self) -> None:
        """Give a child that has already written its result a moment to exit and free its place."""
        end = time.monotonic() + ABOUT_TO_END
        while not self._room() and not self._leaving and time.monotonic() < end:
            self._reap()
            time.sleep(BUSY_WAIT / 4)

    def _take(self, name: str) -> None:
        task = self._channel.claim(name, self.name)
        if task is not None:
            hit("pilot.claimed")
            self._claimed[name] = task
            self._begin(name)

    def _begin(self, name: str) -> None:
        """Fetch the inputs of a claimed task and fork its child; `serve` retries while the channel is down."""
        task = self._claimed[name]
        try:
            folder = self._channel.fetch(name, task)
            process = os.fork()
        except ChannelDown:
            raise
        except OSError as error:
            self._channel.deliver(name, _ended(task, f"it could not be started: {error}"), self.name)
            del self._claimed[name]
            return
        if process == 0:
            _be_child(folder)
        hit("pilot.forked")
        del self._claimed[name]
        self._children[process] = _Child(task, time.time(), folder)
        self._by_name[name] = process
        self._next_beat = float("-inf")

    def _reap(self) -> None:
        for name, process in list(self._by_name.items()):
            child = self._children[process]
            if child.ended is None:
                ended, status = os.waitpid(process, os.WNOHANG)
                if not ended:
                    continue
                code = os.waitstatus_to_exitcode(status)
                child.ended = _ended(child.task, _describe(code), code)
                hit("pilot.child_ended")
            self._channel.deliver(name, child.ended, self.name)  # `serve` retries until this succeeds
            hit("pilot.delivered")
            del self._children[process], self._by_name[name]
            self._done += 1
            self._last_task = time.monotonic()
            self._next_beat = float("-inf")

    # ---- signs of life ----------------------------------------------------------------------------------------------

    def _report(self) -> None:
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + BEAT_EVERY
        for name, process in self._by_name.items():
            if self._children[process].ended is None and not self._channel.holds(name, self.name):
                log.warning("task %s was revoked from this pilot", name)
                os.kill(process, signal.SIGKILL)
        self._beat += 1
        started = {name: self._children[process].started for name, process in self._by_name.items()}
        started |= dict.fromkeys(self._claimed, time.time())
        self._channel.beat(
            Beat(
                self.name, self._job, self._beat, started, self._room(), bool(self._leaving),
                socket.gethostname(), os.getpid(),
                len(os.sched_getaffinity(0)), self._ready, self._idle, self._busy, self._done, self._channel.socket,
                os.environ.get("SLURM_JOB_ID", ""),
            )
        )  # fmt: skip

    def _look_at_orders(self) -> None:
        now = time.monotonic()
        if now < self._next_orders:
            return
        self._next_orders = now + ORDERS_EVERY
        orders = self._channel.orders()
        if orders is not None and orders.beat != self._last_order_beat:
            self._last_order_beat, self._heard = orders.beat, now
        if orders is not None and self._job in orders.leave:
            self._leave("no longer needed")

    def _leave_if_due(self, begun: float) -> None:
        if self._leaving:
            return
        now, settings = time.monotonic(), self._settings
        idle = 0.0 if self._children else now - self._last_task
        for limit, spent, why in (
            (settings.idle_limit, idle, "idle limit reached"),
            (settings.lifetime, now - begun, "lifetime reached"),
            (settings.orphaned_after, now - self._heard, "no heartbeat from the dispatcher"),
            (settings.tasks_limit, self._done, "task limit reached"),
        ):
            if limit and spent >= limit:
                self._leave(why)

    def _leave(self, why: str) -> None:
        if not self._leaving:
            self._leaving, self._next_beat = why, float("-inf")

    def _look_again_later(self) -> None:
        """Pause while the channel is down, and leave when the dispatcher has been silent for too long.

        Until then the children keep running.  When the pilot leaves here, it kills them.
        """
        time.sleep(RETRY)
        if self._settings.orphaned_after and time.monotonic() - self._heard >= self._settings.orphaned_after:
            self._leave("no heartbeat from the dispatcher")
            for child in self._children:
                os.kill(child, signal.SIGKILL)
            self._children.clear()
            self._by_name.clear()
            self._claimed.clear()

    def _account(self) -> None:
        now = time.monotonic()
        passed, self._accounted = now - self._accounted, now
        if self._children:
            self._busy += passed
        else:
            self._idle += passed


def _be_child(folder: Path) -> None:
    """Run a task like any other job, and exit without running any of the parent's cleanup."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            os.dup2(file, number)
            os.close(file)
        _forget_randomness()
        code = run_directory(folder)
    except GwbatchError as error:
        print(error, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        finally:
            os._exit(code)


def _forget_randomness() -> None:
    """Reseed the random generators, so that two children of one parent do not draw the same numbers."""
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()


def _ended(task: Task, how: str, code: int | None = None) -> Task:
    return msgspec.structs.replace(task, ended=how, exit_code=code)


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def parameters(job: str, settings: PilotSettings) -> Mapping[str, Any]:
    """Return the parameters of a pilot's job."""
    return {"job": job, "pilot": msgspec.to_builtins(settings)}
