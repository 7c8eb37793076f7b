"""The HTCondor backend."""

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
from gwbatch.schedulers.htcondor.campaign import HTCondorCampaign
from gwbatch.schedulers.htcondor.deployment import DAGDeployment
from gwbatch.schedulers.htcondor.pool import ask_collector
from gwbatch.schedulers.htcondor.schedd import Schedd, open_schedd
from gwbatch.schedulers.htcondor.scheduler import HTCondorScheduler, description
from gwbatch.schedulers.htcondor.workflow import write_dag
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.workflow import Plan, Workflow


class HTCondor(Backend):
    """A pool, reached through its schedd on the submit host."""

    name = "htcondor"

    def scheduler(self, profile: Profile, state: Path, clock: Clock) -> Scheduler:
        return HTCondorScheduler(state / "htcondor", profile.scheduler, _schedd(profile), clock)

    def describe(self, profile: Profile, state: Path, request: JobRequest) -> str:
        return description(request, profile.scheduler, state / "htcondor" / "events.log", "DISPATCHER")

    def deployment(self, profile: Profile, state: Path, options: Mapping[str, Sequence[str]]) -> Deployment:
        return DAGDeployment(state, options, profile.scheduler, _schedd(profile))

    def campaign(self, profile: Profile) -> CampaignJobs:
        return HTCondorCampaign(profile.scheduler, profile.campaign, partial(_schedd, profile))

    def workflow_writer(self, profile: Profile) -> Callable[[Plan], Workflow]:
        return write_dag

    def pilots(self, profile: Profile) -> Channel:
        return Channel("chirp", None, hedge=0.5, silence=20.0)  # HTCondor's own reconnection takes 10 s

    def pool(self, profile: Profile) -> Pool | None:
        return ask_collector(profile)


def _schedd(profile: Profile) -> Schedd:
    return open_schedd(profile.scheduler.bindings, profile.scheduler.patience)
