"""Campaigns as Slurm jobs, from ``submit/campaign.sbatch``: an array of workers, or one MPI program."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from gwbatch.config.campaign import CampaignSite
from gwbatch.config.profile import SchedulerSettings
from gwbatch.model import JobState
from gwbatch.schedulers.campaign import Wish
from gwbatch.schedulers.environment import job_environment, submit_environment
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.slurm.controller import Controller
from gwbatch.schedulers.slurm.scheduler import hours_minutes_seconds
from gwbatch.schedulers.slurm.states import Row, interpret
from gwbatch.schedulers.templates import render

_STATES = {JobState.QUEUED: "waiting", JobState.RUNNING: "running", JobState.HELD: "held"}


class SlurmCampaign:
    """Campaigns on a Slurm cluster.

    Parameters
    ----------
    reach : callable
        Opens the connection to slurmctld, when it is first needed.
    """

    def __init__(self, settings: SchedulerSettings, campaign: CampaignSite, reach: Callable[[], Controller]) -> None:
        self._settings, self._campaign, self._reach = settings, campaign, reach

    @cached_property
    def _controller(self) -> Controller:
        return self._reach()

    def description(self, wish: Wish) -> str:
        settings, campaign = self._settings, self._campaign
        placement = {
            "partition": campaign.partition or settings.partition,
            "account": campaign.account or settings.account,
            "qos": campaign.qos,
        }
        python = interpreter(settings)
        return render(
            "campaign.sbatch", campaign=campaign, folder=wish.folder, nodes=wish.nodes, mpi=wish.mpi, python=python,
            arguments=wish.arguments, environment=job_environment(settings), placement=placement,
            time_limit=hours_minutes_seconds(campaign.time_limit), comment=_comment(wish.folder),
            launcher=launcher(campaign.launcher, python),
        )  # fmt: skip

    def submit(self, wish: Wish) -> list[str]:
        return [self._controller.submit(self.description(wish), submit_environment(self._settings))]

    def in_queue(self, folder: Path) -> Mapping[str, str]:
        return {row.native_id: _STATES.get(interpret(row)[0], "leaving") for row in self._rows(folder)}

    def remove(self, folder: Path) -> None:
        for row in self._rows(folder):
            self._controller.cancel(row.native_id)

    def _rows(self, folder: Path) -> list[Row]:
        comment = _comment(folder)
        return [row for row in self._controller.jobs() if row.comment == comment and not interpret(row)[0].final]


def launcher(wish: str, python: str) -> list[str]:
    """Return the command that starts the MPI ranks.

    ``auto`` chooses the ``mpiexec`` beside the interpreter, which matches the MPI library installed there and starts
    its ranks through Slurm, or ``srun`` if there is none.
    """
    if wish != "auto":
        return shlex.split(wish)
    beside = Path(python if Path(python).is_absolute() else sys.executable).parent / "mpiexec"
    if beside.exists():
        return [str(beside), "-ppn", "1"]
    return ["srun", "--mpi=pmix", "--cpu-bind=none", "--mem=0"]


def _comment(folder: Path) -> str:
    return f"gwbatch-campaign:{folder}"
