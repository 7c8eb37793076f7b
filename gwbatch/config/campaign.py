"""Campaigns at a site: how a node is used, and what a batch job asks for."""

from __future__ import annotations

import msgspec


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a node is used.

    Attributes
    ----------
    processes : int
        Science processes on a node; 0: one per core (and threads), as far as its memory goes.
    threads : int
        OpenMP threads of each.
    """

    processes: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.processes < 0 or self.threads < 1:
            raise ValueError("a campaign needs at least one thread, and processes cannot be negative")


class CampaignSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The batch jobs of campaigns.  They come after all other work, and give way to it.

    Attributes
    ----------
    launcher : str
        What starts MPI ranks in a Slurm job: ``srun --mpi=pmi2``, ``mpiexec``, ...; ``auto``: from what the site's
        ``srun`` knows, else ``mpiexec`` of this environment.
    partition, qos, account : str
        Slurm's; where they are empty, those of the scheduler.
    nice : int
        Slurm's: how much later than other jobs of the same user.
    time_limit : float
        Seconds of a batch job.
    min_cores : int
        Nodes with fewer are not asked for.
    memory_mb, disk_mb : int
        HTCondor's, of a worker; 0: as the pool has it.
    nice_user : bool
        HTCondor's: only where nobody else wants to run.
    requirements : str
        HTCondor's.
    """

    node: NodeSettings = NodeSettings()
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
            raise ValueError("launcher cannot be empty, time_limit not below 60 s, min_cores not below 1")
