"""The standby folder, through which the dispatcher hands tasks to pilots and each side sees the other's heartbeat.

::

    inbox/TASK               offered by the dispatcher; a pilot renames it to claim it, the dispatcher deletes it to
                             withdraw it
    taken/TASK.PILOT         claimed by that pilot, until the dispatcher has read the result
    revoked/TASK.PILOT       taken away from that pilot; anything it still delivers is ignored
    pilots/PILOT.json        the pilot's heartbeat
    orders.json              the dispatcher's heartbeat, and which pilots must leave

The first rename or deletion of a file in the inbox wins; there is no other lock.  The outputs go into the task's own
job directory, with ``result.json`` last, as for any job.
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
        Key of the attempt.
    kind : str
        Name of the computation.
    directory : str
        The job directory, as the dispatcher sees it.
    inputs, outputs : list of str
        Files in it that travel to the node and back where the node cannot see the directory.
    priority : int
        Priority of the job.
    ended : str
        How the child ended, in words; empty until the pilot has seen it end.
    exit_code : int or None
        Exit code of the child; a negative one is the signal that killed it.
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
        Name of the pilot, unique to this start of its batch job.
    job : str
        Key of its batch job.
    beat : int
        Counter that grows with every heartbeat.
    tasks : dict
        Tasks it is working on: task name to Unix time (s) at which the child started.
    room : int
        Number of further tasks it can take now.
    leaving : bool
        Whether it is about to leave and takes no more tasks.
    host, pid, cores : str, int, int
        Host name, process ID, and number of cores available to it.
    socket : str
        Unix socket on its node for announcing tasks; empty if the pilot polls the inbox.
    batch_id : str
        The batch system's own ID of the job, where the node knows it.
    ready : float
        Unix time (s) at which all imports were done.
    idle, busy : float
        Seconds since then without and with a task.
    done : int
        Number of tasks that have ended.
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
    """The dispatcher's orders to all pilots: its heartbeat (``beat`` grows), and keys of the jobs that must leave."""

    beat: int
    leave: list[str] = []


class PilotSettings(msgspec.Struct, frozen=True):
    """The parameters of a pilot's job.

    Attributes
    ----------
    folder : str
        The standby folder, as the dispatcher sees it.
    channel : str
        ``folder`` if the node sees the folder, too, and a Unix socket announces tasks to the pilot; ``chirp`` if
        HTCondor carries the files and the pilot polls the inbox.
    kinds : list of str
        Computations whose modules the pilot imports before it takes any task.
    room : int
        Number of tasks at a time.
    idle_limit, lifetime, orphaned_after : float
        Seconds without a task, in total, and without a heartbeat of the dispatcher, after which the pilot leaves
        (0: never).
    tasks_limit : int
        Number of tasks after which it leaves (0: never).
    parameters : dict
        The policy's parameters for each kind, from which some kinds prepare something in advance.
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
    """Return the file name of an attempt's task."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def pilot_name(job: str, started: float) -> str:
    """Return a name for one start of a pilot's job, so that a second start does not own the claims of the first."""
    return f"{task_name(job)}-{int(started * 1e6):x}"


def is_task(name: str) -> bool:
    """Return whether a name in the inbox is that of a task; chirp lists an empty folder as one file without a name."""
    return _TASK.fullmatch(name) is not None


def claim_parts(name: str) -> tuple[str, str] | None:
    """Split the name of a claim into task and pilot; return None for any other file."""
    task, _, pilot = name.partition(".")
    return (task, pilot) if _TASK.fullmatch(task) and _PILOT.fullmatch(pilot) else None


def decoded(data: bytes, kind: type[T]) -> T | None:
    """Decode a file of the folder; return None when it is incomplete or of another kind."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
