"""The resident processes under DAGMan: ``dags/gwbatch.dag`` and its node files, with the values of one deployment."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gwbatch.config.profile import SchedulerSettings
from gwbatch.config.resources import resource_directory
from gwbatch.errors import ConfigError
from gwbatch.schedulers.base import SchedulerError
from gwbatch.schedulers.deployment import Resident, write_files
from gwbatch.schedulers.htcondor.schedd import Ad, Schedd, constraint
from gwbatch.schedulers.templates import classad, quoted
from gwbatch.schedulers.timeouts import CommandRunner, last_line

_FILES = {"dags": ("gwbatch.dag", "gwbatch.config"), "submit": ("dispatcher.sub", "console.sub")}
_STATES = {1: "idle", 2: "running", 3: "leaving", 4: "leaving", 5: "held", 6: "leaving", 7: "held"}


class DAGDeployment:
    """One state directory's resident processes on this submit host.

    Parameters
    ----------
    state : Path
        The state directory, which also names the deployment.
    options : mapping of str to sequence of str
        Command-line arguments of each role (``dispatcher``, ``console``).
    """

    def __init__(
        self, state: Path, options: Mapping[str, Sequence[str]], settings: SchedulerSettings, schedd: Schedd
    ) -> None:
        if any(character in str(state) for character in "'\"$ \n"):
            raise ConfigError(f"Cannot deploy from {state}: its path has a space, quote or $. Choose another.")
        self._state = state
        self._folder = state / "deploy"
        self._options = options
        self._schedd = schedd
        self._forward = settings.forward
        self._commands = CommandRunner("HTCondor", max(settings.patience, 60.0))

    def files(self) -> Mapping[Path, str]:
        found = {
            self._folder / name: (resource_directory(room) / name).read_text()
            for room, names in _FILES.items()
            for name in names
        }
        values = {
            "python": sys.executable,
            "state": str(self._state),
            "deployment": str(self._state),
            "forward": "".join(f", {name}" for name in self._forward),
        }
        lines = [f"VARS ALL_NODES {name}={_string(value)}" for name, value in values.items()]
        for role, words in self._options.items():
            lines.append(f"VARS {role} options={_string(' '.join(quoted(word) for word in words))}")
        found[self._folder / "gwbatch.site"] = "\n".join(lines) + "\n"
        return found

    def command(self) -> Sequence[str]:
        mark = f"+GwbatchDeployment = {classad(str(self._state))}"
        dag = str(self._folder / "gwbatch.dag")
        return ("condor_submit_dag", "-f", "-usedagdir", "-batch-name", "gwbatch", "-append", mark, dag)

    def submit(self) -> str:
        write_files(self.files())
        code, output, errors = self._commands.run(*self.command())
        if code != 0:
            raise SchedulerError(f"condor_submit_dag failed: {last_line(errors or output)}.")
        return next((line for line in output.splitlines() if "cluster" in line), "").strip()

    def residents(self) -> list[Resident]:
        return [_resident(ad) for ad in self._schedd.queue(self._all)]

    def hold(self) -> None:
        self._schedd.act("hold", f"{self._all} && GwbatchRole isnt undefined")

    def release(self) -> None:
        self._schedd.act("release", self._all)

    def remove(self) -> None:
        self._schedd.act("remove", self._all)

    @property
    def _all(self) -> str:
        return constraint(GwbatchDeployment=str(self._state))


def _string(value: str) -> str:
    """Quote a value for DAGMan's VARS."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _resident(ad: Ad) -> Resident:
    state = _STATES.get(int(ad.get("JobStatus", 0)), "unknown")
    reason: Any = ad.get("HoldReason") if state == "held" else ""
    since = ad.get("EnteredCurrentStatus")
    return Resident(
        str(ad.get("GwbatchRole") or "dagman"), f"{ad['ClusterId']}.{ad['ProcId']}", state, str(reason or ""), since
    )
