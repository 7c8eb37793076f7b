"""Campaigns at a site: how they use a node, and what their batch jobs request."""

from __future__ import annotations

import msgspec


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a node is used.

    Attributes
    ----------
    processes : int
        Science processes on a node. 0: its cores divided by `threads`, or fewer if its memory does not suffice.
    threads : int
        OpenMP threads of each process.
    """

    processes: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.processes < 0 or self.threads < 1:
            raise ValueError("threads must be at least 1, and processes must not be negative")


class CampaignSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The batch jobs of campaigns. They run after all other work and give way to it.

    Attributes
    ----------
    shared_folder : bool
        Whether the nodes see the campaign's folder. HTCondor: if not, it is sent to them in parts.
    launcher : str
        Command that starts the MPI ranks in a Slurm job, e.g. ``srun --mpi=pmi2``. ``auto``: the ``mpiexec`` beside the
        nodes' Python interpreter if there is one, else ``srun --mpi=pmix``.
    partition, qos, account : str
        Slurm: where the jobs run and whom they are charged to. An empty partition or account falls back to that of the
        scheduler.
    nice : int
        Slurm: nice value, which puts these jobs behind other jobs of the same user.
    time_limit : float
        Slurm: time limit of a batch job in seconds.
    min_cores : int
        Fewest cores that a node may have.
    memory_mb, disk_mb : int
        HTCondor: memory and disk of a worker; 0 leaves it to the pool.
    nice_user : bool
        HTCondor: run only where nobody else wants to.
    requirements : str
        HTCondor: a further ClassAd expression that the node must satisfy.
    """

    node: NodeSettings = NodeSettings()
    shared_folder: bool = True
    launcher: str = "auto"
    partition: str = ""
    qos: str = ""
    account: str = ""
    nice: int = 1000
    time_limit: float = 86400.0
    min_cores: int = 1
    memory_mb: int = 0
    disk_mb: int = 0
    nice_user: bool = True
    requirements: str = ""

    def __post_init__(self) -> None:
        if not self.launcher.strip() or self.time_limit < 60 or self.min_cores < 1:
            raise ValueError("launcher must not be empty, time_limit must be at least 60 s, min_cores at least 1")
