"""What a node is good for: how many science processes it takes, and with how much memory each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gwbatch.campaigns.products import in_order
from gwbatch.config.campaign import NodeSettings

MB = 2**20
USABLE = 0.9  # part of the memory that is ours
ROOM = 1.5  # times what its products need is what a process may have at least


class Share(NamedTuple):
    """How a node is used: processes, threads of each, and MB of each."""

    size: int
    threads: int
    memory: float


def share(settings: NodeSettings, products: Iterable[str], cores: int, memory: float) -> Share:
    """Return how many processes make these products on a node.

    Parameters
    ----------
    memory : float
        MB of the node; 0: not known.
    """
    need = max((wanted.memory for wanted in in_order(products)), default=0.0)
    size = settings.processes or max(1, cores // settings.threads)
    if memory and not settings.processes:
        size = min(size, max(1, int(memory * USABLE // need)))
    each = max(memory * USABLE / size, need * ROOM) if memory else 0.0
    return Share(size, settings.threads, each)


def cores(*, unbind: bool = False) -> int:
    """Return the cores that this process may use.

    Parameters
    ----------
    unbind : bool
        Ask for all cores first: MPI launchers bind a rank to one or two.  What the batch system has set still holds.
    """
    if unbind:
        try:
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
        except OSError:
            pass
    return len(os.sched_getaffinity(0))


def memory() -> float:
    """Return the MB that are ours on this node."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB
    allotted = float(os.environ.get("SLURM_MEM_PER_NODE") or 0)
    return min(whole, allotted) if allotted else whole
