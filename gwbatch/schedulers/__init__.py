"""One interface (`base.Scheduler`) to all batch systems; each is a `backend.Backend` that a site profile names.

gwbatch includes `htcondor`, `slurm` and `local`, and plug-ins can add others; `simulated` is for tests.  Code above
this package must not assume that a job is a process of its own, or that it waits before it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.queues import QUEUES
from gwbatch.schedulers.backend import Backend, backend_names, backend_of, find_backend
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.campaign import CampaignJobs
from gwbatch.schedulers.deployment import Deployment
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.local import LocalScheduler
from gwbatch.schedulers.workflow import Plan, Workflow

if TYPE_CHECKING:
    from gwbatch.schedulers.standby import Crew


def make_scheduler(profile: Profile, state: Path, clock: Clock | None = None) -> Scheduler:
    """Return the scheduler that the site profile names, wrapped in a standby scheduler if the profile has pilots.

    Parameters
    ----------
    clock : Clock, optional
        The dispatcher's clock; by default, the machine's own.

    Raises
    ------
    ConfigError
        When the profile is incomplete, or the scheduler cannot be reached in the way that it asks for.
    """
    profile.require_complete("scheduler.")
    clock = clock or SystemClock()
    scheduler = _routed(backend_of(profile).scheduler(profile, state, clock), profile, state)
    return _with_standby(scheduler, profile, state, clock) if profile.standby else scheduler


def runs_here(profile: Profile) -> bool:
    """Return whether jobs run on the dispatcher's own machine unless their queue says otherwise."""
    return backend_of(profile).on_this_machine


def _routed(batch: Scheduler, profile: Profile, state: Path) -> Scheduler:
    """Return the batch system, combined with this machine for the queues that run here."""
    queues = [queue for queue in QUEUES if profile.resources(queue).run_on == "local"]
    if not queues or runs_here(profile):
        return batch
    from gwbatch.schedulers.routed import RoutedScheduler

    settings = profile.scheduler
    local = LocalScheduler(
        state / "local-jobs", settings.local_cores, settings.python, job_environment(settings), settings.local_memory_mb
    )
    return RoutedScheduler(batch, local, queues)


def _with_standby(scheduler: Scheduler, profile: Profile, state: Path, clock: Clock) -> Scheduler:
    from gwbatch.schedulers.standby import StandbyScheduler

    for queue in profile.standby:
        if queue not in QUEUES:
            raise ConfigError(f"Cannot run pilots for {queue!r}: there is no such queue. Choose {' or '.join(QUEUES)}.")
    settings = profile.scheduler
    # Pilots on this machine have a scheduler of their own, so that an idle pilot does not occupy cores that jobs need.
    environment = job_environment(settings)
    here = LocalScheduler(state / "local-pilots", settings.cores, settings.python, environment, waiters=True)
    crews = [_crew(queue, profile, state, scheduler, here, clock) for queue in profile.standby]
    standby = StandbyScheduler(scheduler, crews, clock)
    if isinstance(scheduler, LocalScheduler):
        scheduler.others = partial(standby.at_work, "openmp")
    return standby


def _crew(queue: str, profile: Profile, state: Path, scheduler: Scheduler, here: Scheduler, clock: Clock) -> Crew:
    """Return the pilots of one queue, and the channel that reaches them."""
    from gwbatch.schedulers.standby import Crew, StandbyFolder

    wish = profile.standby[queue]
    on_this_machine = runs_here(profile) or profile.resources(queue).run_on == "local"
    way = (find_backend("local") if on_this_machine else backend_of(profile)).pilots(profile)
    folder = StandbyFolder(profile.job_folder(state) / "standby" / queue / "desk", clock.steady)
    hedge, silence = wish.hedge or way.hedge, wish.silence or way.silence
    pilots = here if on_this_machine else scheduler
    crew = Crew(queue, folder, way.name, way.bell, frozenset(wish.kinds), hedge, silence, pilots)
    if isinstance(scheduler, LocalScheduler) and profile.resources(queue).whole_node:
        return replace(crew, is_free=scheduler.is_free)
    return crew


def describe(profile: Profile, state: Path, request: JobRequest) -> str:
    """Return what would be submitted; the built-in backends do not contact the batch system for this."""
    profile.require_complete("scheduler.")
    return backend_of(profile).describe(profile, state, request)


def make_deployment(profile: Profile, state: Path, options: Mapping[str, Sequence[str]]) -> Deployment:
    """Return the resident processes of a state directory, as jobs of the site's batch system.

    Parameters
    ----------
    options : mapping of str to sequence of str
        Command-line arguments of each role (``dispatcher``, ``console``); only needed to submit.

    Raises
    ------
    ConfigError
        When the site has no batch system, or one that does not support deployments.
    """
    return backend_of(profile).deployment(profile, state, options)


def make_campaign_jobs(profile: Profile) -> CampaignJobs:
    """Return the interface to the batch jobs of campaigns at a site.

    Raises
    ------
    ConfigError
        When the site has no batch system, or one that does not support campaigns.
    """
    profile.require_complete("scheduler.")
    return backend_of(profile).campaign(profile)


def make_workflow_writer(profile: Profile) -> Callable[[Plan], Workflow]:
    """Return the function that writes a prepared workflow in the form that the site's batch system runs.

    Raises
    ------
    ConfigError
        When the site has no batch system, or one that does not support workflows.
    """
    return backend_of(profile).workflow_writer(profile)


__all__ = [
    "Backend",
    "Deployment",
    "Scheduler",
    "backend_names",
    "describe",
    "make_campaign_jobs",
    "make_deployment",
    "make_scheduler",
    "make_workflow_writer",
    "runs_here",
]
