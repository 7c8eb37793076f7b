"""Campaigns as HTCondor jobs: workers, or a sender on the access point and its parcels (``submit/campaign*.sub``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from gwbatch import children
from gwbatch.config.campaign import CampaignSite
from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.schedulers.campaign import Parcel, Wish
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.htcondor.schedd import Schedd, constraint
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.templates import render

_STATES = {1: "waiting", 2: "running", 5: "held"}


class HTCondorCampaign:
    """Campaigns on an HTCondor pool.

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
        if not self._campaign.shared_folder:
            return render(
                "campaign-sender.sub", settings=self._settings, folder=wish.folder, python=sys.executable,
                arguments=wish.sender,
            )  # fmt: skip
        return render(
            "campaign.sub", settings=self._settings, campaign=self._campaign, folder=wish.folder,
            python=interpreter(self._settings), arguments=wish.arguments, environment=job_environment(self._settings),
        )  # fmt: skip

    def submit(self, wish: Wish) -> list[str]:
        description = self.description(wish)
        workers = wish.nodes if self._campaign.shared_folder else 1
        return [self._schedd.submit(description) for _ in range(workers)]

    def in_queue(self, folder: Path) -> Mapping[str, str]:
        ads = self._schedd.queue(constraint(GwbatchCampaign=str(folder), GwbatchRole="campaign"))
        return {f"{ad['ClusterId']}.{ad['ProcId']}": _STATES.get(int(ad.get("JobStatus", 0)), "leaving") for ad in ads}

    def remove(self, folder: Path) -> None:
        self._schedd.act("remove", constraint(GwbatchCampaign=str(folder)))

    def send(self, parcel: Parcel) -> str:
        verb = ["parcel", parcel.parcel.name, parcel.result.name]
        options = ["--set", f"campaign.node.processes={self._campaign.node.processes}"]
        options += ["--set", f"campaign.node.threads={self._campaign.node.threads}"]
        text = render(
            "campaign-parcel.sub", settings=self._settings, campaign=self._campaign, folder=parcel.folder,
            parcel=parcel, python=interpreter(self._settings), environment=job_environment(self._settings),
            arguments=children.python("gwbatch", "campaign", *verb, *options)[1:],
        )  # fmt: skip
        return self._schedd.submit(text)

    def parcels(self, folder: Path) -> Mapping[str, str]:
        ads = self._schedd.queue(constraint(GwbatchCampaign=str(folder), GwbatchRole="campaign-parcel"))
        return {ad["GwbatchParcel"]: _STATES.get(int(ad.get("JobStatus", 0)), "leaving") for ad in ads}

    def take_back(self, folder: Path, name: str) -> None:
        self._schedd.act("remove", constraint(GwbatchCampaign=str(folder), GwbatchParcel=name))
