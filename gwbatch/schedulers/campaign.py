"""The interface to the batch jobs of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gwbatch import children


@dataclass(frozen=True)
class Wish:
    """A request for campaign jobs.

    Attributes
    ----------
    folder : Path
        The campaign folder.
    nodes : int
        Number of nodes.
    mpi : bool
        Whether to run one MPI program on all of them, or else workers that come and go.
    cores : int
        Cores of a node.
    options : sequence of str
        Command-line arguments that select the site profile on the node.
    """

    folder: Path
    nodes: int
    mpi: bool
    options: Sequence[str] = ()
    cores: int = 1

    @property
    def sender(self) -> list[str]:
        """The arguments of the interpreter that sends parcels to nodes that do not see the folder."""
        load = ("--nodes", str(self.nodes), "--cores", str(self.cores))
        return children.python("gwbatch", "campaign", "send", str(self.folder), *load, *self.options)[1:]

    @property
    def arguments(self) -> list[str]:
        """The arguments of the interpreter on a node."""
        verb = ["run", str(self.folder), "--mpi"] if self.mpi else ["work", str(self.folder)]
        return children.python("gwbatch", "campaign", *verb, *self.options)[1:]


@dataclass(frozen=True)
class Parcel:
    """A chunk of a campaign, packed for a node that does not see the campaign's folder.

    Attributes
    ----------
    place : Path
        The folder of its files, on the access point.
    avoid : sequence of str
        Hosts on which it must not run, because every event failed there.
    """

    folder: Path
    name: str
    place: Path
    avoid: Sequence[str] = ()

    @property
    def parcel(self) -> Path:
        """What the node gets."""
        return self.place / "parcel.zip"

    @property
    def result(self) -> Path:
        """What the node returns."""
        return self.place / "result.zip"


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


@runtime_checkable
class ParcelJobs(Protocol):
    """Sending parcels to nodes that do not see the campaign's folder.

    Every call raises `SchedulerBusy` if the batch system does not answer.
    """

    def send(self, parcel: Parcel) -> str:
        """Submit the job that does a parcel, and return the batch system's name for it.

        Raises
        ------
        SchedulerError
            If the job is permanently refused.
        """
        ...

    def parcels(self, folder: Path) -> Mapping[str, str]:
        """Return the states of a campaign's parcels in the queue by name: ``waiting``, ``running`` or ``held``.

        A parcel that is not there has returned everything that it will return.
        """
        ...

    def take_back(self, folder: Path, name: str) -> None:
        """Remove a parcel from the queue."""
        ...
