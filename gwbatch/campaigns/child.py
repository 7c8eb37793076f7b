"""The science process ``python -m gwbatch.campaigns.child``, which reads one JSON task per line and answers each.

It handles many events, because its imports take seconds.  It uses neither MPI nor the table, and dies with its parent.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.products import Work, in_order
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.tasks import How, Outcome, Task
from gwbatch.errors import BadInput, GwbatchError
from gwbatch.failpoints import hit
from gwbatch.jobs.science import without_mpi
from gwbatch.plugins import import_plugins

MB = 2**20
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Setup(msgspec.Struct, frozen=True):
    """The setup of the process, sent as the first line.

    Attributes
    ----------
    place : str
        Name of the crew that it belongs to.
    parent : int
        Process ID of its parent.
    memory : float
        Memory limit in MB; 0: no limit.
    """

    folder: str
    place: str
    settings: CampaignSettings
    products: list[str]
    parent: int
    memory: float = 0.0


def main() -> int:
    """Answer tasks until standard input ends, and return the exit code."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    if os.getppid() != setup.parent:
        return 1  # the parent died before the call to prctl
    _die_first()
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)  # what libraries print must not mix with the answers
        without_mpi()
        import_plugins(setup.settings.plugins, setup.settings.plugin_folders)
        for wanted in in_order(setup.products):
            for module in wanted.preload:
                import_module(module)
        if setup.memory:
            limit = int(setup.memory * MB)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        folder = Folder(Path(setup.folder))
        for line in sys.stdin.buffer:
            os.ftruncate(2, 0)  # the log then holds only output about the current event
            outcome = work_at(msgspec.json.decode(line, type=Task), folder, setup)
            hit("campaign.child.before_answer")
            answers.write(msgspec.json.encode(outcome) + b"\n")
            hit("campaign.child.after_answer")
    return 0


def work_at(task: Task, folder: Folder, setup: Setup) -> Outcome:
    """Make the products of an event and return its outcome."""
    started, cpu = time.monotonic(), time.process_time()
    how: How = "done"
    facts: dict[str, Any] = {}
    reason = ""
    try:
        work = Work(task, folder, setup.settings.science, folder.unfinished / setup.place)
        for wanted in in_order(task.products):
            if wanted.name in task.products:
                facts[wanted.name] = dict(wanted.function(work))
                hit("campaign.child.made")
    except BadInput as error:
        how, reason = "bad-input", str(error)
    except MemoryError:
        limit = f"the {setup.memory:.0f} MB that a process may use" if setup.memory else "this node has"
        how, reason = "failed", f"it needs more memory than {limit}"
    except Exception as error:
        how = "failed"
        reason = str(error) if isinstance(error, GwbatchError) else f"{type(error).__name__}: {error}"
        traceback.print_exc()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(
        task.id, how, reason, facts, time.process_time() - cpu, time.monotonic() - started, peak, socket.gethostname()
    )


def _die_first() -> None:
    """Make the kernel kill this process first, and not its parent, when the node runs out of memory."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
