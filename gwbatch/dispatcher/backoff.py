"""How long to wait before another try."""

from __future__ import annotations

import random


def delay(attempts: int, *, first: float = 0.5, longest: float = 60.0) -> float:
    """Seconds before try number ``attempts + 1``: doubling, capped, with up to a fifth of jitter."""
    return min(longest, first * 2.0 ** min(attempts - 1, 30)) * random.uniform(0.8, 1.0)
