"""The interface of a backend, one kind of batch system; subclass `Backend` to add another.

A site profile names its backend in ``scheduler.kind``.  Backends are entry points of the group
``gwbatch.schedulers``; gwbatch declares its own in the same way as plug-ins do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import ClassVar

import msgspec

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest
from gwbatch.plugins import add_folders
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.campaign import CampaignJobs
from gwbatch.schedulers.deployment import Deployment
from gwbatch.schedulers.pool import Pool
from gwbatch.schedulers.standby.bells import Bell
from gwbatch.schedulers.workflow import Plan, Workflow

GROUP = "gwbatch.schedulers"


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a backend that has none."""


@dataclass(frozen=True)
class Channel:
    """How a task reaches a pilot that is a job of this batch system.

    Attributes
    ----------
    name : str
        ``folder`` (the pilot sees the standby folder) or ``chirp``.
    bell : Bell or None
        Announces a task to a sleeping pilot; None if the pilot polls the inbox.
    hedge : float
        Seconds after which an unclaimed task is submitted as an ordinary job, unless the profile sets its own value.
    silence : float
        Seconds without a heartbeat after which a pilot counts as gone, unless the profile sets its own value.
    """

    name: str
    bell: Bell | None
    hedge: float
    silence: float


class Backend:
    """One kind of batch system.

    A subclass must define `name` and `scheduler`.  Until overridden, `deployment`, `campaign`, `workflow_writer` and
    `pilots` raise an error that names the site and suggests an alternative.

    Attributes
    ----------
    name : str
        Its name in ``scheduler.kind``.
    on_this_machine : bool
        Whether its jobs are processes on the dispatcher's own machine.
    settings, resources : type of msgspec.Struct
        Schemas of ``[scheduler.options]`` and ``[queues.NAME.options]`` in a site profile.
    """

    name: ClassVar[str]
    on_this_machine: ClassVar[bool] = False
    settings: ClassVar[type[msgspec.Struct]] = NoOptions
    resources: ClassVar[type[msgspec.Struct]] = NoOptions

    def scheduler(self, profile: Profile, state: Path, clock: Clock) -> Scheduler:
        """Return the scheduler, which keeps its files in a folder of its own below `state` and uses this clock.

        Raises
        ------
        ConfigError
            When the batch system cannot be reached in the way that the profile asks for.
        """
        raise NotImplementedError

    def describe(self, profile: Profile, state: Path, request: JobRequest) -> str:
        """Return what would be submitted; a subclass should override this if it can answer without its batch system."""
        return self.scheduler(profile, state, SystemClock()).describe(request)

    def deployment(self, profile: Profile, state: Path, options: Mapping[str, Sequence[str]]) -> Deployment:
        """Return the resident processes of a state directory, as jobs."""
        raise ConfigError(
            f"Cannot deploy to {self._named(profile)}. Choose another site with --site, or start 'gwbatch run' "
            "yourself."
        )

    def campaign(self, profile: Profile) -> CampaignJobs:
        """Return the interface to the batch jobs of campaigns."""
        raise ConfigError(
            f"Cannot submit a campaign to {self._named(profile)}. Choose another site with --site, or use "
            "'gwbatch campaign run'."
        )

    def workflow_writer(self, profile: Profile) -> Callable[[Plan], Workflow]:
        """Return the function that writes the file to submit for a workflow whose job directories are ready."""
        raise ConfigError(
            f"Cannot write a workflow for {self._named(profile)}. Choose another site with --site, or another "
            "batch system with --scheduler."
        )

    def pilots(self, profile: Profile) -> Channel:
        """Return the channel through which tasks reach pilots that are jobs."""
        raise ConfigError(
            f"Cannot run pilots on {self._named(profile)}. Remove [standby] from the site profile, or give its "
            'queues run_on = "local".'
        )

    def pool(self, profile: Profile) -> Pool | None:
        """Return how many whole nodes jobs of this profile can use, or None if this batch system does not tell.

        Raises
        ------
        SchedulerBusy
            When the batch system does not answer.
        """
        return None

    def check(self, profile: Profile) -> None:
        """Refuse options that this backend does not know, or whose values are invalid.

        Raises
        ------
        ConfigError
            Naming the first such option.
        """
        _check(profile.scheduler.options, self.settings, "scheduler.options", profile)
        for queue, resources in profile.queues.items():
            _check(resources.options, self.resources, f"queues.{queue}.options", profile)
        for queue in profile.standby:
            options = profile.pilot_resources(queue).options
            _check(options, self.resources, f"standby.{queue}.batch.options", profile)

    def _named(self, profile: Profile) -> str:
        lacking = "which runs jobs on this machine" if self.on_this_machine else f"whose batch system is {self.name}"
        return f"the site {profile.name}, {lacking}"


def backend_of(profile: Profile) -> Backend:
    """Return the backend that a site profile names, after checking the profile's options.

    Raises
    ------
    ConfigError
        When no such batch system is installed, or the profile has an unknown or invalid option.
    """
    add_folders(profile.plugin_folders)
    found = find_backend(profile.scheduler.kind)
    found.check(profile)
    return found


@cache
def find_backend(kind: str) -> Backend:
    """Return the backend called `kind`.

    Raises
    ------
    ConfigError
        When none is installed, two are, or it cannot be loaded.
    """
    named = [entry for entry in _installed() if entry.name == kind]
    if not named:
        raise ConfigError(
            f"Cannot use scheduler.kind = {kind!r}: no such batch system is installed. Choose one of "
            f"{', '.join(backend_names())}, or install the plug-in that provides it."
        )
    if len({entry.value for entry in named}) > 1:
        raise ConfigError(
            f"Cannot use scheduler.kind = {kind!r}: it is installed twice ({named[0].value} and {named[1].value}). "
            "Uninstall one."
        )
    try:
        made = named[0].load()()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"Cannot load the batch system {kind!r} ({named[0].value}): {error}.") from error
    if not isinstance(made, Backend):
        raise ConfigError(f"Cannot use the batch system {kind!r}: {named[0].value} is not a subclass of Backend.")
    return made


def backend_names() -> list[str]:
    """Return the names of all installed batch systems."""
    return sorted({entry.name for entry in _installed()})


def _installed() -> Sequence[EntryPoint]:
    return tuple(entry_points(group=GROUP))


def _check(values: Mapping[str, object], known: type[msgspec.Struct], where: str, profile: Profile) -> None:
    try:
        msgspec.convert(values, known)
    except msgspec.ValidationError as error:
        raise ConfigError(f"Cannot use the site profile {profile.name}: [{where}] is invalid: {error}.") from error
