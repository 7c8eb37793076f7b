"""Python child processes that import only installed code, whatever the current folder and PYTHONPATH hold."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

_FROM_THE_SHELL = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH")


def python(module: str, *arguments: str, interpreter: str = "") -> list[str]:
    """Return the command that runs one of our modules without importing from the current folder (``-P``)."""
    return [interpreter or sys.executable, "-P", "-m", module, *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment for a child, without the variables that could make it import other code."""
    kept = {name: value for name, value in os.environ.items() if name not in _FROM_THE_SHELL}
    return {**kept, **(more or {})}
