"""Batch systems behind one interface (`base.Scheduler`): `htcondor`, `local`, and `simulated` for tests.

Nothing above this room may assume that a job is a process of its own, or that it starts late.
"""

from __future__ import annotations

from pathlib import Path

from gwbatch.config.profile import Profile
from gwbatch.schedulers.base import Scheduler


def make_scheduler(profile: Profile, state: Path) -> Scheduler:
    """The scheduler that the site profile names.

    Raises
    ------
    ConfigError
        When the profile is not filled in, or the scheduler cannot be reached in the way that it asks for.
    """
    profile.require_complete()
    if profile.scheduler.kind == "htcondor":
        from gwbatch.schedulers.htcondor import HTCondorScheduler
        from gwbatch.schedulers.htcondor.schedd import open_schedd

        schedd = open_schedd(profile.scheduler.bindings, profile.scheduler.patience)
        return HTCondorScheduler(state / "htcondor", profile.scheduler, schedd)
    from gwbatch.schedulers.local import LocalScheduler

    return LocalScheduler(state / "local-jobs", profile.scheduler.cores, profile.scheduler.python)


__all__ = ["Scheduler", "make_scheduler"]
