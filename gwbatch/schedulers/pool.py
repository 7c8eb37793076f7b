"""The nodes of a batch system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pool:
    """The whole nodes of a batch system that jobs of a site profile can use.

    Attributes
    ----------
    nodes : int
        Those in service.
    free : int
        Those of them on which no job runs.
    """

    nodes: int
    free: int
