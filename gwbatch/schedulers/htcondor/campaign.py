"""Campaign workers as HTCondor jobs, from ``submit/campaign.sub``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from gwbatch.config.campaign import CampaignSite
from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.schedulers.campaign import Wish
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.htcondor.schedd import Schedd, constraint
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.templates import render

_STATES = {1: "waiting", 2: "running", 5: "held"}


class HTCondorCampaign:
    """The workers of campaigns on an HTCondor pool.

    Parameters
    ----------
    reach : callable
        Opens the connection to the schedd, when it is first needed.
    """

    def __init__(self, settings: SchedulerSettings, campaign: CampaignSite, reach: Callable[[], Schedd]) -> None:
        self._settings, self._campaign, self._reach = settings, campaign, reach

    @cached_property
    def _schedd(self) -> Schedd:
        return self._reach()

    def description(self, wish: Wish) -> str:
        if wish.mpi:
            raise ConfigError(
                "Cannot run one MPI program over several HTCondor nodes: most pools have no dedicated scheduler for "
                "it. Submit it without --mpi: workers do the same."
            )
        return render(
            "campaign.sub", settings=self._settings, campaign=self._campaign, folder=wish.folder,
            python=interpreter(self._settings), arguments=wish.arguments, environment=job_environment(self._settings),
        )  # fmt: skip

    def submit(self, wish: Wish) -> list[str]:
        description = self.description(wish)
        return [self._schedd.submit(description) for _ in range(wish.nodes)]

    def in_queue(self, folder: Path) -> Mapping[str, str]:
        ads = self._schedd.queue(constraint(GwbatchCampaign=str(folder)))
        return {f"{ad['ClusterId']}.{ad['ProcId']}": _STATES.get(int(ad.get("JobStatus", 0)), "leaving") for ad in ads}

    def remove(self, folder: Path) -> None:
        self._schedd.act("remove", constraint(GwbatchCampaign=str(folder)))
