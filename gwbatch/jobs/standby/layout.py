"""The standby folder: how a task goes from the dispatcher to a pilot, and how each knows of the other.

::

    inbox/TASK               offered by the dispatcher; a pilot claims it, or the dispatcher withdraws it, by rename
    taken/TASK.PILOT         claimed by that pilot, until the dispatcher has read the result
    revoked/TASK.PILOT       taken away from it: what it still delivers counts for nothing
    pilots/PILOT.json        the pilot's heartbeat
    orders.json              the dispatcher's heartbeat, and which pilots shall leave

Who renames first has the task: there is no other lock.  The outputs go into the task's own job directory, whose
``result.json`` comes last, as that of any job.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

import msgspec

INBOX, TAKEN, REVOKED, PILOTS = "inbox", "taken", "revoked", "pilots"
FOLDERS = (INBOX, TAKEN, REVOKED, PILOTS)
ORDERS = "orders.json"
_TASK = re.compile(r"[0-9a-f]{32}")
_PILOT = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8,}")


T = TypeVar("T")


class Task(msgspec.Struct, frozen=True):
    """One attempt, offered to the pilots.

    Attributes
    ----------
    key : str
        That of the attempt.
    kind : str
        Which computation.
    directory : str
        The job directory, as the dispatcher sees it.
    inputs, outputs : list of str
        Files in it that travel to the node and back, where the node does not see it.
    priority : int
        As the job has it.
    ended : str
        How the child ended, in words, once the pilot has seen it end.
    exit_code : int or None
        Its exit code; negative: the signal that killed it.
    """

    key: str
    kind: str
    directory: str
    inputs: list[str]
    outputs: list[str]
    priority: int = 0
    ended: str = ""
    exit_code: int | None = None


class Beat(msgspec.Struct, frozen=True):
    """A pilot's heartbeat.

    Attributes
    ----------
    pilot : str
        Its name, which no second start of the same batch job has.
    job : str
        Key of the batch job that it is.
    beat : int
        Larger each time.
    tasks : dict
        What it works at: task name to Unix time (s) of the start of its child.
    room : int
        How many tasks more it takes now.
    leaving : bool
        Whether it takes none any more.
    host, pid : str, int
        Where it runs, and as which process.
    socket : str
        Unix socket on its node that announces a task; empty if the pilot polls its inbox.
    batch_id : str
        The batch system's own name of its job, where the node knows it.
    ready : float
        Unix time (s) at which all was imported.
    idle, busy : float
        Seconds since then without and with a task.
    done : int
        Tasks that it has ended.
    """

    pilot: str
    job: str
    beat: int
    tasks: dict[str, float]
    room: int
    leaving: bool
    host: str
    pid: int
    cores: int
    ready: float
    idle: float
    busy: float
    done: int
    socket: str = ""
    batch_id: str = ""


class Orders(msgspec.Struct, frozen=True):
    """What the dispatcher tells all pilots: that it lives (``beat`` grows), and whose jobs shall leave."""

    beat: int
    leave: list[str] = []


class PilotSettings(msgspec.Struct, frozen=True):
    """The parameters of a pilot's job.

    Attributes
    ----------
    folder : str
        The standby folder, as the dispatcher sees it.
    channel : str
        ``folder``: the node sees it, too, and a Unix socket announces tasks to the pilot.  ``chirp``: HTCondor
        carries files, and the pilot looks into the inbox.
    kinds : list of str
        Computations whose modules are imported before any task.
    room : int
        Tasks at a time.
    idle_limit, lifetime, orphaned_after : float
        Seconds without a task, in all, and without a sign of the dispatcher, after which the pilot leaves; 0: never.
    tasks_limit : int
        Tasks after which it leaves.
    parameters : dict
        What the policy has for each kind; some have something prepared from it.
    """

    folder: str
    channel: str
    kinds: list[str]
    room: int = 1
    idle_limit: float = 0.0
    lifetime: float = 0.0
    orphaned_after: float = 180.0
    tasks_limit: int = 500
    parameters: dict[str, dict[str, Any]] = {}


def task_name(key: str) -> str:
    """Name the file of an attempt's task."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def pilot_name(job: str, started: float) -> str:
    """Name one start of a pilot's job: a second start must not own the claims of the first."""
    return f"{task_name(job)}-{int(started * 1e6):x}"


def is_task(name: str) -> bool:
    """Return whether a file of the inbox is a task; chirp lists an empty folder as one file without a name."""
    return _TASK.fullmatch(name) is not None


def claim_parts(name: str) -> tuple[str, str] | None:
    """Split the name of a claim into task and pilot; None for any other file."""
    task, _, pilot = name.partition(".")
    return (task, pilot) if _TASK.fullmatch(task) and _PILOT.fullmatch(pilot) else None


def decoded(data: bytes, kind: type[T]) -> T | None:
    """Decode one of these files; None when it is torn or something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
