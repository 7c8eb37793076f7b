"""The resident processes as one Slurm job, from ``submit/gwbatch.sbatch``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gwbatch.config.profile import SchedulerSettings
from gwbatch.errors import ConfigError
from gwbatch.model import JobState
from gwbatch.schedulers.deployment import Resident, write_files
from gwbatch.schedulers.environment import resident_environment
from gwbatch.schedulers.slurm.controller import Controller
from gwbatch.schedulers.slurm.scheduler import hours_minutes_seconds
from gwbatch.schedulers.slurm.states import Row, interpret
from gwbatch.schedulers.templates import render

_STATES = {JobState.QUEUED: "idle", JobState.RUNNING: "running", JobState.HELD: "held"}


class SlurmDeployment:
    """One state directory's resident processes on a Slurm cluster.

    Parameters
    ----------
    state : Path
        The state directory, which also names the deployment.
    options : mapping of str to sequence of str
        Command-line arguments of each role (``dispatcher``, ``console``).
    """

    def __init__(
        self, state: Path, options: Mapping[str, Sequence[str]], settings: SchedulerSettings, controller: Controller
    ) -> None:
        self._state = state
        self._folder = Path(settings.resident_directory) if settings.resident_directory else state / "deploy"
        self._script = self._folder / "gwbatch.sbatch"
        self._options = options
        self._settings = settings
        self._controller = controller

    def files(self) -> Mapping[Path, str]:
        settings = self._settings
        if not settings.resident_node:
            raise ConfigError(
                "Cannot deploy on Slurm: the dispatcher must run on the node that holds its ledger. Name it: "
                "--set scheduler.resident_node=NODE."
            )
        placement = {
            "partition": settings.resident_partition or settings.partition,
            "account": settings.account,
            "qos": settings.resident_qos,
        }
        text = render(
            "gwbatch.sbatch",
            settings=settings,
            comment=self._comment,
            folder=self._folder,
            script=self._script,
            state=self._state,
            python=sys.executable,
            time_limit=hours_minutes_seconds(settings.resident_time_limit),
            placement=placement,
            dispatcher=self._options.get("dispatcher", ()),
            console=self._options.get("console", ()),
        )
        return {self._script: text}

    def command(self) -> Sequence[str]:
        return ("sbatch", str(self._script))

    def submit(self) -> str:
        files = self.files()
        write_files(files)
        native_id = self._controller.submit(files[self._script], resident_environment(self._settings))
        return f"1 job submitted: {native_id}."

    def residents(self) -> list[Resident]:
        return [_resident(row) for row in self._rows()]

    def hold(self) -> None:
        for row in self._rows():
            # A waiting job is only held.  The processes of a running job get SIGTERM, then it is held in the queue.
            running = interpret(row)[0] is JobState.RUNNING
            self._controller.tell("scontrol", "requeuehold" if running else "hold", row.native_id)

    def release(self) -> None:
        for row in self._rows():
            if interpret(row)[0] is JobState.HELD:
                self._controller.release(row.native_id)
                self._controller.tell("scontrol", "update", f"job={row.native_id}", "StartTime=now")

    def remove(self) -> None:
        for row in self._rows():
            if interpret(row)[0] is JobState.RUNNING:
                # Signal only the script.  It passes SIGTERM on to the dispatcher and the console, and waits for them.
                self._controller.tell("scancel", "--batch", "--signal=TERM", row.native_id)
            else:
                self._controller.cancel(row.native_id)

    @property
    def _comment(self) -> str:
        return f"gwbatch-deployment:{self._state}"

    def _rows(self) -> list[Row]:
        return [row for row in self._controller.jobs() if row.comment == self._comment and not interpret(row)[0].final]


def _resident(row: Row) -> Resident:
    state, reason, _ = interpret(row)
    return Resident("dispatcher", row.native_id, _STATES.get(state, str(state).lower()), reason)
