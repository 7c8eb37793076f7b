"""The batch jobs of a campaign: what every batch system offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gwbatch import children


@dataclass(frozen=True)
class Wish:
    """What is to be submitted.

    Attributes
    ----------
    folder : Path
        The campaign's, which the nodes see too.
    nodes : int
        How many nodes.
    mpi : bool
        One MPI program over all of them, else workers that come and go.
    options : sequence of str
        Words of the command line that choose the site profile on the node.
    """

    folder: Path
    nodes: int
    mpi: bool
    options: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        """What the interpreter is called with on a node."""
        verb = ["run", str(self.folder), "--mpi"] if self.mpi else ["work", str(self.folder)]
        return children.python("gwbatch", "campaign", *verb, *self.options)[1:]


class CampaignJobs(Protocol):
    """Submitting a campaign, and finding its jobs again."""

    def description(self, wish: Wish) -> str:
        """Return what would be submitted."""
        ...

    def submit(self, wish: Wish) -> list[str]:
        """Submit; returns the batch system's names of the jobs."""
        ...

    def in_queue(self, folder: Path) -> Mapping[str, str]:
        """Return the jobs of a campaign that run or wait, and their states.

        Raises
        ------
        SchedulerBusy
            When there is no answer.
        """
        ...

    def remove(self, folder: Path) -> None:
        """Take all jobs of a campaign out of the queue."""
        ...
