"""A Slurm cluster behind the interface of every batch system."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gwbatch.clock import Clock
from gwbatch.config.profile import SchedulerSettings
from gwbatch.jobs.workflow import BAD_INPUT, SKIP
from gwbatch.model import JobRequest
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.dispatcher_id import dispatcher_id
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.polling import PollingScheduler
from gwbatch.schedulers.slurm.controller import NO_SUCH_NODES, Controller
from gwbatch.schedulers.slurm.queue import SlurmQueue
from gwbatch.schedulers.templates import render

TOP = 2000  # jobs with this priority or a higher one get --nice=0

log = logging.getLogger(__name__)


class SlurmScheduler(PollingScheduler):
    """A Slurm cluster whose nodes see the job directories.

    Parameters
    ----------
    folder : Path
        Where the scheduler saves its records of jobs.
    controller : Controller
        Access to slurmctld.
    """

    name, whom = "slurm", "Slurm"

    def __init__(
        self, folder: Path, settings: SchedulerSettings, controller: Controller, clock: Clock | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._prefix = f"gwbatch:{dispatcher_id(folder)}:"
        super().__init__(folder, settings, SlurmQueue(controller, self._prefix), clock)

    def describe(self, request: JobRequest) -> str:
        return batch_script(request, self._settings, f"{self._prefix}{request.key}")

    def hand_over(self, request: JobRequest) -> str:
        try:
            return super().hand_over(request)
        except SchedulerBusy as error:
            if not request.avoid or not any(words in str(error) for words in NO_SUCH_NODES):
                raise
            # Slurm can exclude nodes but cannot merely prefer others.  If no other node is left, the same one is better
            # than none.
            log.warning("job %s cannot avoid %s: %s", request.key, ", ".join(request.avoid), error)
            return super().hand_over(replace(request, avoid=()))


def batch_script(
    request: JobRequest, settings: SchedulerSettings, comment: str, node: Mapping[str, object] | None = None
) -> str:
    """Render the batch script of a job, from ``submit/openmp.sbatch`` or ``submit/general.sbatch``.

    Parameters
    ----------
    node : mapping or None
        For a workflow node: its ``folder``, ``name``, ``attempts`` and ``job_name``.
    """
    resources = request.resources
    placement = {
        "partition": resources.partition or settings.partition,
        "account": settings.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "reservation": resources.reservation,
        "exclude": ",".join(request.avoid),
    }
    limit = resources.time_limit or resources.run_deadline
    return render(
        f"{request.queue}.sbatch",
        job=request,
        resources=resources,
        settings=settings,
        python=interpreter(settings),
        environment=job_environment(settings),
        comment=comment,
        placement=placement,
        nice=max(0, TOP - request.priority),
        warn_after=limit - settings.warn_before if settings.warn_before else 0,
        time_limit=hours_minutes_seconds(limit * (1 if node is None else int(str(node["attempts"])))),
        node=None if node is None else {**node, "skip": SKIP, "bad_input": BAD_INPUT},
    )


def hours_minutes_seconds(seconds: float) -> str:
    """Format seconds as ``HH:MM:SS``."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
