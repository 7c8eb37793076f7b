"""The Slurm backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gwbatch.clock import Clock
from gwbatch.config.profile import Profile
from gwbatch.model import JobRequest
from gwbatch.schedulers.backend import Backend, Channel
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.campaign import CampaignJobs
from gwbatch.schedulers.deployment import Deployment
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.slurm.bell import SrunBell
from gwbatch.schedulers.slurm.campaign import SlurmCampaign
from gwbatch.schedulers.slurm.controller import Controller, open_controller
from gwbatch.schedulers.slurm.deployment import SlurmDeployment
from gwbatch.schedulers.slurm.pool import ask_sinfo
from gwbatch.schedulers.slurm.scheduler import SlurmScheduler, batch_script
from gwbatch.schedulers.slurm.workflow import write_script
from gwbatch.schedulers.workflow import Plan, Workflow


class Slurm(Backend):
    """A cluster whose nodes see the job directories."""

    name = "slurm"

    def scheduler(self, profile: Profile, state: Path, clock: Clock) -> Scheduler:
        return SlurmScheduler(state / "slurm", profile.scheduler, _controller(profile), clock)

    def describe(self, profile: Profile, state: Path, request: JobRequest) -> str:
        return batch_script(request, profile.scheduler, f"gwbatch:DISPATCHER:{request.key}")

    def deployment(self, profile: Profile, state: Path, options: Mapping[str, Sequence[str]]) -> Deployment:
        return SlurmDeployment(state, options, profile.scheduler, _controller(profile))

    def campaign(self, profile: Profile) -> CampaignJobs:
        return SlurmCampaign(profile.scheduler, profile.campaign, partial(_controller, profile))

    def workflow_writer(self, profile: Profile) -> Callable[[Plan], Workflow]:
        return write_script

    def pilots(self, profile: Profile) -> Channel:
        return Channel("folder", SrunBell(profile.scheduler), hedge=1.0, silence=5.0)

    def pool(self, profile: Profile) -> Pool | None:
        return ask_sinfo(profile)


def _controller(profile: Profile) -> Controller:
    return open_controller(profile.scheduler.bindings, profile.scheduler.patience)
