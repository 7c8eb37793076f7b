"""The Python interpreter that runs a job on a node."""

from __future__ import annotations

import sys

from gwbatch.config.profile import SchedulerSettings


def interpreter(settings: SchedulerSettings) -> str:
    """Return the interpreter that the profile names, or this one's path (if all nodes have the same software)."""
    return settings.python or sys.executable
