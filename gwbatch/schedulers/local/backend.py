"""The backend for this machine."""

from __future__ import annotations

from pathlib import Path

from gwbatch.clock import Clock
from gwbatch.config.profile import Profile
from gwbatch.schedulers.backend import Backend, Channel
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.local.scheduler import LocalScheduler
from gwbatch.schedulers.standby.bells import SocketBell


class Local(Backend):
    """Processes on the dispatcher's own machine."""

    name = "local"
    on_this_machine = True

    def scheduler(self, profile: Profile, state: Path, clock: Clock) -> LocalScheduler:
        settings = profile.scheduler
        return LocalScheduler(state / "local-jobs", settings.cores, settings.python, job_environment(settings))

    def pilots(self, profile: Profile) -> Channel:
        return Channel("folder", SocketBell(), hedge=0.5, silence=5.0)
