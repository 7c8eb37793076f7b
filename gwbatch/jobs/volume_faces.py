"""The three faces of the cube that a volume is projected onto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gwbatch.jobs.healpix import Floats

FACES = ((1, 0), (0, 2), (1, 2))
"""Horizontal and vertical principal axis of each face."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of the distance in Mpc, for each cell or for the whole sky."""

    mean: Floats
    std: Floats

    def __getitem__(self, chosen: Any) -> Moments:
        """Return the moments of some cells."""
        return Moments(self.mean[chosen], self.std[chosen])


@dataclass(frozen=True)
class Cube:
    """A cube around Earth, and the picture elements of its faces.

    Attributes
    ----------
    rotation : ndarray, shape (3, 3)
        Its axes as columns.
    reach : float
        Half its side in Mpc.
    elements : int
        Picture elements per side.  The first and last are centred on the cube's edges, at -reach and +reach.
    """

    rotation: Floats
    reach: float
    elements: int

    @property
    def element(self) -> float:
        """The side of an element in Mpc."""
        return 2 * self.reach / (self.elements - 1)
