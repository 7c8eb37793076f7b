"""The resident processes as jobs of a batch system: what every kind of deployment offers."""

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
        ``dispatcher``, ``console``, or what starts them again (``dagman``).
    state : str
        ``idle``, ``running``, ``held`` or ``leaving``.
    since : float or None
        Unix time in seconds.
    """

    role: str
    job: str
    state: str
    reason: str = ""
    since: float | None = None


class Deployment(Protocol):
    """Starting, watching and stopping the resident processes."""

    def files(self) -> Mapping[Path, str]:
        """Return what `submit` writes, and where."""
        ...

    def command(self) -> Sequence[str]:
        """Return what `submit` runs."""
        ...

    def submit(self) -> str:
        """Write the files and submit them; returns the batch system's name for it."""
        ...

    def residents(self) -> list[Resident]:
        """Return what runs or waits. Raises `SchedulerBusy` when there is no answer."""
        ...

    def hold(self) -> None:
        """Stop the processes, to be started again by `release`."""
        ...

    def release(self) -> None:
        """Start held processes again."""
        ...

    def remove(self) -> None:
        """Stop the processes permanently; they finish the work in progress."""
        ...


def write_files(files: Mapping[Path, str]) -> None:
    """Write each at once: what reads them may be running."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_text(text)
        temporary.replace(path)
