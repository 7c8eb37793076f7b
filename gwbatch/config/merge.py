"""Merging of settings, with a record of where each value came from."""

from __future__ import annotations

from typing import Any

Origins = dict[str, str]
"""Where each value was set, by its dotted name."""


def merge(base: dict[str, Any], over: dict[str, Any], origins: Origins, origin: str, prefix: str = "") -> None:
    """Merge `over` into `base` in place, table by table, and record `origin` for each value set."""
    for name, value in over.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merge(base[name], value, origins, origin, f"{dotted}.")
        else:
            base[name] = value
            note(origins, dotted, value, origin)


def note(origins: Origins, dotted: str, value: Any, origin: str) -> None:
    """Record `origin` for a value, or for each value of a table."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            note(origins, f"{dotted}.{name}", inner, origin)
    else:
        origins[dotted] = origin
