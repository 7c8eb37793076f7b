"""What a site profile says of Grid Engine, besides what it says of every batch system."""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[scheduler.options]``.

    Attributes
    ----------
    queue : str
        Where jobs go unless their own options say otherwise; empty lets the cluster choose.
    project : str
        The project that jobs are charged to (``-P``).
    parallel_environment : str
        One whose slots are all on one node (``allocation_rule $pe_slots``), for jobs of several cores.
    whole_node : str
        A request that keeps other jobs off the node: a complex of relation EXCL.
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
        Where these jobs go.
    requests : list of str
        Further hard requests (``-l``), such as ``"mem_free=8G"``.
    """

    queue: str = ""
    requests: list[str] = []
