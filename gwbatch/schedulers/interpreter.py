"""Which interpreter runs a job on a node."""

from __future__ import annotations

import sys

from gwbatch.config.profile import SchedulerSettings


def interpreter(settings: SchedulerSettings) -> str:
    """Return the interpreter that the profile names, else this one's path (the same software on all nodes)."""
    return settings.python or sys.executable
