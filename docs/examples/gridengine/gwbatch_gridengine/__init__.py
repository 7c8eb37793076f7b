"""The Grid Engine backend, selected with ``scheduler.kind = "gridengine"`` in a site profile."""

from __future__ import annotations

import shutil
from pathlib import Path

from gwbatch.clock import Clock
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.schedulers.backend import Backend
from gwbatch.schedulers.base import Scheduler
from gwbatch_gridengine.commands import QmasterCommands
from gwbatch_gridengine.options import JobOptions, Options
from gwbatch_gridengine.scheduler import GridEngineScheduler, job_script


class GridEngine(Backend):
    """The backend for Grid Engine clusters whose nodes see the job directories."""

    name = "gridengine"
    settings = Options
    resources = JobOptions

    def scheduler(self, profile: Profile, state: Path, clock: Clock) -> Scheduler:
        missing = [name for name in ("qsub", "qstat", "qdel", "qacct") if shutil.which(name) is None]
        if missing:
            raise ConfigError(
                f"Cannot reach Grid Engine: {', '.join(missing)} not on PATH. Run this on a submit host, with the "
                "settings of its cell ($SGE_ROOT/$SGE_CELL/common/settings.sh)."
            )
        commands = QmasterCommands(profile.scheduler.patience)
        return GridEngineScheduler(state / self.name, profile, commands, clock)

    def describe(self, profile: Profile, state: Path, request: JobRequest) -> str:
        return job_script(request, profile, "gwbatch.DISPATCHER")


__all__ = ["GridEngine"]
