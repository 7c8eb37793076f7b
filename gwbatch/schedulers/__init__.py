"""Batch systems behind one interface (`base.Scheduler`): `htcondor`, `slurm`, `local`, `simulated` for tests.

Nothing above this room may assume that a job is a process of its own, or that it starts late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gwbatch.config.profile import QUEUES, Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.deployment import Deployment
from gwbatch.schedulers.environment import job_environment


def make_scheduler(profile: Profile, state: Path) -> Scheduler:
    """The scheduler that the site profile names, and around it a standby where the profile has one.

    Raises
    ------
    ConfigError
        When the profile is not filled in, or the scheduler cannot be reached in the way that it asks for.
    """
    profile.require_complete("scheduler.")
    scheduler = _batch_system(profile, state)
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


def _with_standby(scheduler: Scheduler, profile: Profile, state: Path) -> Scheduler:
    from gwbatch.schedulers.local import LocalScheduler
    from gwbatch.schedulers.standby import Bell, Crew, SocketBell, SrunBell, StandbyFolder, StandbyScheduler

    for queue in profile.standby:
        if queue not in QUEUES:
            raise ConfigError(f"Cannot have pilots for {queue!r}: there is no such queue. Take {' or '.join(QUEUES)}.")
    settings, pilots = profile.scheduler, scheduler
    bell: Bell | None = SocketBell()
    channel, hedge, silence = "folder", 0.5, 5.0
    if settings.kind == "htcondor":
        channel, bell, silence = "chirp", None, 20.0  # its own reconnection takes 10 s
    elif settings.kind == "slurm":
        bell, hedge = SrunBell(settings), 1.0
    else:
        # Beside the jobs of this machine: a pilot that waits must not take their cores.
        pilots = LocalScheduler(state / "local-pilots", settings.cores, settings.python, job_environment(settings))
    crews = [
        Crew(
            queue,
            StandbyFolder(profile.job_folder(state) / "standby" / queue / "desk"),
            channel,
            bell,
            frozenset(wish.kinds),
            wish.hedge or hedge,
            wish.silence or silence,
            pilots,
        )
        for queue, wish in profile.standby.items()
    ]
    return StandbyScheduler(scheduler, crews)


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


__all__ = ["Deployment", "Scheduler", "describe", "make_deployment", "make_scheduler"]
