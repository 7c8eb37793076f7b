"""The interface to the batch jobs of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gwbatch import children


@dataclass(frozen=True)
class Wish:
    """A request for campaign jobs.

    Attributes
    ----------
    folder : Path
        The campaign folder, which the nodes must see.
    nodes : int
        Number of nodes.
    mpi : bool
        Whether to run one MPI program on all of them, or else workers that come and go.
    options : sequence of str
        Command-line arguments that select the site profile on the node.
    """

    folder: Path
    nodes: int
    mpi: bool
    options: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """The arguments of the interpreter on a node."""
        verb = ["run", str(self.folder), "--mpi"] if self.mpi else ["work", str(self.folder)]
        return children.python("gwbatch", "campaign", *verb, *self.options)[1:]


class CampaignJobs(Protocol):
    """Submitting a campaign, and finding its jobs again."""

    def description(self, wish: Wish) -> str:
        """Return what would be submitted."""
        ...

    def submit(self, wish: Wish) -> list[str]:
        """Submit the jobs; return the batch system's names for them."""
        ...

    def in_queue(self, folder: Path) -> Mapping[str, str]:
        """Return the jobs of a campaign that are in the queue, with their states.

        Raises
        ------
        SchedulerBusy
            When the batch system does not answer.
        """
        ...

    def remove(self, folder: Path) -> None:
        """Remove all jobs of a campaign from the queue."""
        ...
