"""The resources of a node: how many science processes it can run, and how much memory each may use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gwbatch.campaigns.products import in_order
from gwbatch.config.campaign import NodeSettings

MB = 2**20
USABLE = 0.9  # fraction of the memory that science processes may use
ROOM = 1.5  # a process's memory limit is at least this factor times what its products need


class Share(NamedTuple):
    """The use of a node: number of processes, threads per process, and MB per process (0: no limit)."""

    size: int
    threads: int
    memory: float


def share(settings: NodeSettings, products: Iterable[str], cores: int, memory: float) -> Share:
    """Return how many processes make these products on a node, and the threads and memory of each.

    Parameters
    ----------
    memory : float
        Memory of the node in MB; 0: unknown.
    """
    need = max((wanted.memory for wanted in in_order(products)), default=0.0)
    size = settings.processes or max(1, cores // settings.threads)
    if memory and not settings.processes:
        size = min(size, max(1, int(memory * USABLE // need)))
    each = max(memory * USABLE / size, need * ROOM) if memory else 0.0
    return Share(size, settings.threads, each)


def cores(*, unbind: bool = False) -> int:
    """Return the number of cores that this process may use.

    Parameters
    ----------
    unbind : bool
        Request all cores first, because MPI launchers bind a rank to one or two.  The batch system's limits still
        apply.
    """
    if unbind:
        try:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        except OSError:
            pass
    return len(os.sched_getaffinity(0))


def memory() -> float:
    """Return the memory in MB that this job may use on its node."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB
    allotted = float(os.environ.get("SLURM_MEM_PER_NODE") or 0)
    return min(whole, allotted) if allotted else whole
