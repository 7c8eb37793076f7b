"""Evaluation of channels over a window: a bit is on only if every sample has it, and unknown without samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Samples = Sequence[float] | None
"""The samples of a channel over the whole window; None if some are missing."""

BitTable = Mapping[str, Mapping[str, int]]
"""Channel to the names and numbers of its bits."""


@dataclass(frozen=True)
class Bit:
    """One bit of one channel over the window; `on` is None if it is unknown."""

    channel: str
    name: str
    on: bool | None

    @property
    def detector(self) -> str:
        """``H1``, ``L1`` or ``V1``."""
        return self.channel.partition(":")[0]

    @property
    def is_injection(self) -> bool:
        """Whether the bit is about hardware injections rather than data quality."""
        return self.name.endswith("INJ")


def evaluate(channel: str, names: Mapping[str, int], samples: Samples) -> list[Bit]:
    """Return the bits of a state vector over a window."""
    if samples is None or len(samples) == 0 or not all(sample >= 0 for sample in samples):
        return [Bit(channel, name, None) for name in names]
    common = ~0
    for sample in samples:
        common &= int(sample)
    return [Bit(channel, name, bool(common >> number & 1)) for name, number in names.items()]


@dataclass(frozen=True)
class Glitch:
    """iDQ's lowest false alarm probability for a detector in the window; None if it is unknown."""

    detector: str
    probability: float | None


def least_probability(detector: str, ok: Samples, fap: Samples) -> Glitch:
    """Return the lowest false alarm probability, which counts only if iDQ was working throughout the window."""
    if ok is None or fap is None or len(fap) == 0 or not all(sample == 1 for sample in ok):
        return Glitch(detector, None)
    lowest = min(fap)
    return Glitch(detector, float(lowest) if 0 <= lowest <= 1 else None)
