"""Human-readable numbers."""

from __future__ import annotations

_STEPS = ((60.0, "s"), (60.0, "min"), (24.0, "h"))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def age(seconds: float) -> str:
    """Return a time span (s) in the largest unit that fits into it twice: ``90 s``, ``5 min``, ``3 days``."""
    value = max(0.0, seconds)
    for step, unit in _STEPS:
        if value < 2 * step:
            return f"{value:.1f} {unit}" if unit == "s" and value < 10 else f"{value:.0f} {unit}"
        value /= step
    return f"{value:.0f} days"


def size(number: float) -> str:
    """Return a number of bytes in units of 1024: ``3.4 GiB``."""
    value = float(number)
    for unit in _BYTES[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_BYTES[-1]}"
