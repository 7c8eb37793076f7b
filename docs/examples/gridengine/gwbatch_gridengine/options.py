"""The options of a site profile that only Grid Engine has."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[scheduler.options]``.

    Attributes
    ----------
    queue : str
        The queue for jobs whose own options name none; if empty, the cluster chooses.
    project : str
        The project that jobs are charged to (``-P``).
    parallel_environment : str
        A parallel environment with all slots on one node (``allocation_rule $pe_slots``), for jobs on several cores.
    whole_node : str
        The request that keeps other jobs off the node, for a complex of relation EXCL.
    """

    queue: str = ""
    project: str = ""
    parallel_environment: str = "smp"
    whole_node: str = "exclusive=true"


class JobOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[queues.NAME.options]``.

    Attributes
    ----------
    queue : str
        The queue for these jobs.
    requests : list of str
        Further hard resource requests (``-l``), such as ``"mem_free=8G"``.
    """

    queue: str = ""
    requests: list[str] = []
