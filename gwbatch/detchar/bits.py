"""Evaluating channels over a window: a bit is on only if every sample has it, and unknown without samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Samples = Sequence[float] | None
"""The samples of a channel over the whole window; None if they are not all there."""

BitTable = Mapping[str, Mapping[str, int]]
"""Channel to the names of its bits and their numbers."""


@dataclass(frozen=True)
class Bit:
    """One bit of one channel over the window; `on` is None if it is not known."""

    channel: str
    name: str
    on: bool | None

    @property
    def detector(self) -> str:
        """``H1``, ``L1`` or ``V1``."""
        return self.channel.partition(":")[0]

    @property
    def is_injection(self) -> bool:
        """Whether it tells of hardware injections, and not of the quality of the data."""
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
    """What iDQ says of a detector: its least false alarm probability in the window; None if it is not to be judged."""

    detector: str
    probability: float | None


def least_probability(detector: str, ok: Samples, fap: Samples) -> Glitch:
    """Return the least false alarm probability, which counts only if iDQ was fine all the time."""
    if ok is None or fap is None or len(fap) == 0 or not all(sample == 1 for sample in ok):
        return Glitch(detector, None)
    lowest = min(fap)
    return Glitch(detector, float(lowest) if 0 <= lowest <= 1 else None)
