"""Access to slurmctld, through pyslurm or through sbatch, squeue, scontrol, scancel and sacct."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Mapping
from typing import Protocol

from gwbatch.errors import ConfigError
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.environment import plain_environment
from gwbatch.schedulers.slurm.states import Row, interpret
from gwbatch.schedulers.timeouts import CommandRunner, last_line

# Slurm would refuse these again until somebody changes the profile or the cluster.  Any other failure (limits,
# maintenance, munge, a socket timeout) counts as no answer, because the job may be in the queue.
_REFUSED = re.compile(
    r"invalid (account|partition|qos|feature|constraint|reservation|requested time|user id)|user not in group"
    r"|requested reservation is invalid",
    re.IGNORECASE,
)
NO_SUCH_NODES = ("node configuration is not available", "Invalid node name specified")

_FIELDS = "%i|%T|%r|%C|%N|%Z|%k"
_HEADER = "JOBID|STATE|"
_KNOWS_NOT = "Invalid job id"


class Controller(Protocol):
    """slurmctld.  Every call raises `SchedulerBusy` if there is no answer."""

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        """Submit a batch script; return the job id.  Raises `SchedulerError` if it is permanently refused."""
        ...

    def jobs(self) -> list[Row]:
        """Return all jobs of this user that slurmctld still knows, including ended ones."""
        ...

    def job(self, native_id: str) -> Row | None:
        """Return one job in detail, from slurmctld or else from the accounting; None if neither knows it."""
        ...

    def cancel(self, native_id: str) -> None:
        """Cancel a job."""
        ...

    def release(self, native_id: str) -> None:
        """Release a held job."""
        ...

    def tell(self, *command: str) -> None:
        """Run a Slurm command that changes something."""
        ...


def open_controller(bindings: str, seconds: float) -> Controller:
    """Open the connection to slurmctld that the profile asks for.

    Raises
    ------
    ConfigError
        When slurmctld cannot be reached in that way.
    """
    commands = CommandController(seconds)
    missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(name) is None]
    if missing:
        raise ConfigError(f"Cannot reach Slurm: {', '.join(missing)} not on PATH. Use a submit host.")
    if bindings in ("auto", "pyslurm"):
        from gwbatch.schedulers.slurm.pyslurm import PyslurmController

        try:
            return PyslurmController(commands, seconds)
        except ConfigError as error:
            if bindings == "pyslurm":
                raise ConfigError(f"scheduler.bindings = 'pyslurm', but {error}. Set it to 'cli'.") from error
    return commands


def refusal(text: str) -> SchedulerError:
    """Return the error for a failed submission: permanently refused, or outcome unknown."""
    reason = last_line(text)
    if _REFUSED.search(text):
        return SchedulerError(f"Slurm refused the job: {reason}.")
    return SchedulerBusy(f"Slurm could not accept the job: {reason}.")


class CommandController:
    """slurmctld through the commands on PATH.

    They get a plain environment, because variables like ``SQUEUE_PARTITION`` would change their output.
    """

    def __init__(self, seconds: float) -> None:
        # Three separate ones, so that a slow query does not delay a submission.
        self._submitting, self._asking, self._acting = (CommandRunner("Slurm", seconds) for _ in range(3))
        self._user = pwd.getpwuid(os.getuid()).pw_name

    def version(self) -> str:
        """Return Slurm's version, e.g. ``slurm 22.05.8``."""
        return self._ask("scontrol", "--version").strip()

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        # The job gets the environment of sbatch.
        code, output, errors = self._submitting.run(
            "sbatch", "--parsable", "--export=ALL", text=script, environment=environment
        )
        if code != 0:
            raise refusal(errors or output)
        native_id = output.strip().partition(";")[0]
        if not native_id.isdecimal():
            raise SchedulerBusy(f"sbatch succeeded but returned no job id: {last_line(output + errors)}.")
        return native_id

    def jobs(self) -> list[Row]:
        output = self._ask("squeue", "--states=all", f"--user={self._user}", f"--format={_FIELDS}")
        header, *lines = output.splitlines() or [""]
        # The header is a sign of life.  Without it, an empty answer could come from a broken squeue.
        if not header.startswith(_HEADER):
            raise SchedulerBusy(f"squeue gave no answer: {header[:80]!r}.")
        return [_row(line) for line in lines if line.count("|") >= 6]

    def job(self, native_id: str) -> Row | None:
        code, output, errors = self._asking.run(
            "scontrol", "show", "job", "--oneliner", native_id, environment=plain_environment()
        )
        if code == 0 and output.startswith("JobId="):
            return details(output)
        if _KNOWS_NOT not in errors:
            raise SchedulerBusy(f"scontrol gave no answer: {last_line(errors or output)}.")
        return self._accounted(native_id)

    def cancel(self, native_id: str) -> None:
        self.tell("scancel", native_id)

    def release(self, native_id: str) -> None:
        self.tell("scontrol", "release", native_id)

    def tell(self, *command: str) -> None:
        code, output, errors = self._acting.run(*command, environment=plain_environment())
        ended = _KNOWS_NOT in errors or "already" in errors
        if code != 0 and not ended:
            raise SchedulerBusy(f"{command[0]} failed: {last_line(errors or output)}.")

    def _accounted(self, native_id: str) -> Row | None:
        """Return what the accounting, if there is one, says about an ended job.

        Return None for a job that it calls running or pending.  slurmctld itself does not know that job, so the entry
        may be left over from a crash.
        """
        if shutil.which("sacct") is None:
            return None
        fields = "JobIDRaw,State,ExitCode,NodeList,WorkDir"
        code, output, _ = self._asking.run(
            "sacct", "-X", "-n", "-P", "-o", fields, "-j", native_id, environment=plain_environment()
        )
        line = next((line for line in output.splitlines() if line.startswith(f"{native_id}|")), "")
        if code != 0 or line.count("|") < 4:
            return None
        _, state, ending, nodes, directory = line.split("|", 4)
        row = Row(native_id, state, "", None, nodes, "", *_exit(ending), directory=directory)
        return row if interpret(row)[0].final else None

    def _ask(self, *command: str) -> str:
        code, output, errors = self._asking.run(*command, environment=plain_environment())
        if code != 0:
            raise SchedulerBusy(f"{command[0]} failed: {last_line(errors or output)}.")
        return output


def _row(line: str) -> Row:
    native_id, state, reason, cores, nodes, directory, comment = line.split("|", 6)
    count = int(cores) if cores.isdecimal() else None
    return Row(native_id, state, reason, count, nodes, comment, directory=directory)


def details(text: str) -> Row:
    """Parse the output of ``scontrol show job --oneliner``."""
    fields: dict[str, str] = dict(re.findall(r"(\w+)=(\S*)", text))

    def get(name: str) -> str:
        return fields.get(name, "").replace("(null)", "")

    cores = get("NumCPUs")
    return Row(
        get("JobId"), get("JobState"), get("Reason"), int(cores) if cores.isdecimal() else None,
        get("NodeList"), get("Comment"), *_exit(get("ExitCode")), directory=get("WorkDir"),
    )  # fmt: skip


def _exit(text: str) -> tuple[int | None, int | None]:
    """Parse ``3:9`` as exit code 3, signal 9."""
    code, _, signal = text.partition(":")
    return int(code) if code.isdecimal() else None, int(signal) if signal.isdecimal() else None
