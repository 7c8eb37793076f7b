"""Batch systems behind one interface (`base.Scheduler`): `local` processes, and `simulated` for tests and what-if.

Nothing above this room may assume that a job is a process of its own, or that it starts late.
"""

from __future__ import annotations

from pathlib import Path

from gwbatch.config.profile import Profile
from gwbatch.schedulers.base import Scheduler


def make_scheduler(profile: Profile, state: Path) -> Scheduler:
    """The scheduler that the site profile names."""
    from gwbatch.schedulers.local import LocalScheduler

    return LocalScheduler(state / "local-jobs", profile.scheduler.cores, profile.scheduler.python)


__all__ = ["Scheduler", "make_scheduler"]
