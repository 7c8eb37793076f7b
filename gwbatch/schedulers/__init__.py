"""Batch systems behind one interface (`base.Scheduler`): `htcondor`, `slurm`, `local`, `simulated` for tests.

Nothing above this room may assume that a job is a process of its own, or that it starts late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.queues import QUEUES
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.campaign import CampaignJobs
from gwbatch.schedulers.deployment import Deployment
from gwbatch.schedulers.environment import job_environment

if TYPE_CHECKING:
    from gwbatch.schedulers.standby import Crew


def make_scheduler(profile: Profile, state: Path) -> Scheduler:
    """The scheduler that the site profile names, and around it a standby where the profile has one.

    Raises
    ------
    ConfigError
        When the profile is not filled in, or the scheduler cannot be reached in the way that it asks for.
    """
    profile.require_complete("scheduler.")
    scheduler = _routed(_batch_system(profile, state), profile, state)
    return _with_standby(scheduler, profile, state) if profile.standby else scheduler


def _batch_system(profile: Profile, state: Path) -> Scheduler:
    if profile.scheduler.kind == "htcondor":
        from gwbatch.schedulers.htcondor import HTCondorScheduler
        from gwbatch.schedulers.htcondor.schedd import open_schedd

        schedd = open_schedd(profile.scheduler.bindings, profile.scheduler.patience)
        return HTCondorScheduler(state / "htcondor", profile.scheduler, schedd)
    if profile.scheduler.kind == "slurm":
        from gwbatch.schedulers.slurm import SlurmScheduler
        from gwbatch.schedulers.slurm.controller import open_controller

        controller = open_controller(profile.scheduler.bindings, profile.scheduler.patience)
        return SlurmScheduler(state / "slurm", profile.scheduler, controller)
    from gwbatch.schedulers.local import LocalScheduler

    settings = profile.scheduler
    return LocalScheduler(state / "local-jobs", settings.cores, settings.python, job_environment(settings))


def _on_this_machine(profile: Profile, queue: str) -> bool:
    return profile.scheduler.kind == "local" or profile.resources(queue).run_on == "local"


def _routed(batch: Scheduler, profile: Profile, state: Path) -> Scheduler:
    """The batch system, and beside it this machine for the queues that run here."""
    queues = [queue for queue in QUEUES if profile.resources(queue).run_on == "local"]
    if not queues or profile.scheduler.kind == "local":
        return batch
    from gwbatch.schedulers.local import LocalScheduler
    from gwbatch.schedulers.routed import RoutedScheduler

    settings = profile.scheduler
    local = LocalScheduler(
        state / "local-jobs", settings.local_cores, settings.python, job_environment(settings), settings.local_memory_mb
    )
    return RoutedScheduler(batch, local, queues)


def _with_standby(scheduler: Scheduler, profile: Profile, state: Path) -> Scheduler:
    from gwbatch.schedulers.local import LocalScheduler
    from gwbatch.schedulers.standby import StandbyScheduler

    for queue in profile.standby:
        if queue not in QUEUES:
            raise ConfigError(f"Cannot have pilots for {queue!r}: there is no such queue. Take {' or '.join(QUEUES)}.")
    settings = profile.scheduler
    # Pilots of this machine are beside its jobs: one that waits must not take their cores.
    environment = job_environment(settings)
    here = LocalScheduler(state / "local-pilots", settings.cores, settings.python, environment, waiters=True)
    crews = [_crew(queue, profile, state, scheduler, here) for queue in profile.standby]
    standby = StandbyScheduler(scheduler, crews)
    if isinstance(scheduler, LocalScheduler):
        scheduler.others = partial(standby.at_work, "openmp")
    return standby


def _crew(queue: str, profile: Profile, state: Path, scheduler: Scheduler, here: Scheduler) -> Crew:
    """The pilots of one queue, and the way to them."""
    from gwbatch.schedulers.local import LocalScheduler
    from gwbatch.schedulers.standby import Bell, Crew, SocketBell, SrunBell, StandbyFolder

    wish = profile.standby[queue]
    bell: Bell | None
    if _on_this_machine(profile, queue):
        pilots, channel, bell, hedge, silence = here, "folder", SocketBell(), 0.5, 5.0
    elif profile.scheduler.kind == "htcondor":
        pilots, channel, bell, hedge, silence = scheduler, "chirp", None, 0.5, 20.0  # its own reconnection takes 10 s
    else:
        pilots, channel, bell, hedge, silence = scheduler, "folder", SrunBell(profile.scheduler), 1.0, 5.0
    folder = StandbyFolder(profile.job_folder(state) / "standby" / queue / "desk")
    hedge, silence = wish.hedge or hedge, wish.silence or silence
    crew = Crew(queue, folder, channel, bell, frozenset(wish.kinds), hedge, silence, pilots)
    if isinstance(scheduler, LocalScheduler) and profile.resources(queue).whole_node:
        return replace(crew, is_free=scheduler.is_free)
    return crew


def describe(profile: Profile, state: Path, request: JobRequest) -> str:
    """What would be submitted, also where the batch system is not at hand."""
    profile.require_complete("scheduler.")
    if profile.scheduler.kind == "htcondor":
        from gwbatch.schedulers.htcondor import description

        return description(request, profile.scheduler, state / "htcondor" / "events.log", "DISPATCHER")
    if profile.scheduler.kind == "slurm":
        from gwbatch.schedulers.slurm import batch_script

        return batch_script(request, profile.scheduler, f"gwbatch:DISPATCHER:{request.key}")
    return make_scheduler(profile, state).describe(request)


def make_deployment(profile: Profile, state: Path, options: Mapping[str, Sequence[str]]) -> Deployment:
    """The resident processes of a state directory, as jobs of the site's batch system.

    Parameters
    ----------
    options : mapping of str to sequence of str
        Command-line words of each role (``dispatcher``, ``console``); only needed to submit.

    Raises
    ------
    ConfigError
        When the site has no batch system.
    """
    settings = profile.scheduler
    if settings.kind == "htcondor":
        from gwbatch.schedulers.htcondor.deployment import DAGDeployment
        from gwbatch.schedulers.htcondor.schedd import open_schedd

        return DAGDeployment(state, options, settings, open_schedd(settings.bindings, settings.patience))
    if settings.kind == "slurm":
        from gwbatch.schedulers.slurm.controller import open_controller
        from gwbatch.schedulers.slurm.deployment import SlurmDeployment

        return SlurmDeployment(state, options, settings, open_controller(settings.bindings, settings.patience))
    raise ConfigError(
        f"The site profile {profile.name} runs jobs on this machine: there is nothing to deploy to. "
        "Choose a site with a batch system (--site), or start 'gwbatch run' yourself."
    )


def make_campaign_jobs(profile: Profile) -> CampaignJobs:
    """The batch jobs of campaigns at a site.

    Raises
    ------
    ConfigError
        When the site has no batch system.
    """
    settings = profile.scheduler
    profile.require_complete("scheduler.")
    if settings.kind == "htcondor":
        from gwbatch.schedulers.htcondor.campaign import HTCondorCampaign
        from gwbatch.schedulers.htcondor.schedd import open_schedd

        return HTCondorCampaign(settings, profile.campaign, partial(open_schedd, settings.bindings, settings.patience))
    if settings.kind == "slurm":
        from gwbatch.schedulers.slurm.campaign import SlurmCampaign
        from gwbatch.schedulers.slurm.controller import open_controller

        return SlurmCampaign(settings, profile.campaign, partial(open_controller, settings.bindings, settings.patience))
    raise ConfigError(
        f"The site profile {profile.name} has no batch system. Choose another with --site, or use "
        "'gwbatch campaign run'."
    )


__all__ = ["Deployment", "Scheduler", "describe", "make_campaign_jobs", "make_deployment", "make_scheduler"]
