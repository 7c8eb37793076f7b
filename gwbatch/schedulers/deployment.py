"""The interface of a deployment: the resident processes as jobs of a batch system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Resident:
    """A resident process as the batch system sees it.

    Attributes
    ----------
    role : str
        ``dispatcher``, ``console``, or ``dagman``, which restarts the other two.
    state : str
        ``idle``, ``running``, ``held``, ``leaving`` or ``unknown``.
    since : float or None
        Unix time in seconds at which it entered this state, where known.
    """

    role: str
    job: str
    state: str
    reason: str = ""
    since: float | None = None


class Deployment(Protocol):
    """Starting, watching and stopping the resident processes."""

    def files(self) -> Mapping[Path, str]:
        """Return the text of the files that `submit` writes, by path."""
        ...

    def command(self) -> Sequence[str]:
        """Return the command that submits these files."""
        ...

    def submit(self) -> str:
        """Write the files and submit them; return a line that names the job."""
        ...

    def residents(self) -> list[Resident]:
        """Return the processes that run or wait.  Raises `SchedulerBusy` if the batch system does not answer."""
        ...

    def hold(self) -> None:
        """Stop the processes until `release` starts them again."""
        ...

    def release(self) -> None:
        """Start held processes again."""
        ...

    def remove(self) -> None:
        """Stop the processes permanently; they finish the work in progress."""
        ...


def write_files(files: Mapping[Path, str]) -> None:
    """Write each file atomically, because a running process may be reading it."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.replace(path)
