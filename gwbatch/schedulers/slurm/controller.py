"""Talking to slurmctld: through pyslurm, or through sbatch, squeue, scontrol, scancel and sacct."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from gwbatch.errors import ConfigError
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.patience import Commands, Patience, last_line
from gwbatch.schedulers.slurm.states import Row

Answer = TypeVar("Answer")

_REFUSED = re.compile(
    r"invalid|not permitted|not available|unrecognized|does not exist|violates|denied|more processors"
    r"|memory specification can not be satisfied",
    re.IGNORECASE,
)
_UNREACHED = re.compile(r"contact|timed? ?out|socket|standby|transport|temporar|connection|busy", re.IGNORECASE)
_FIELDS = "%i|%T|%r|%C|%N|%k"
_KNOWS_NOT = "Invalid job id"


class Controller(Protocol):
    """slurmctld.  Every call raises `SchedulerBusy` when there is no answer."""

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        """Submit a batch script; returns the job id.  Raises `SchedulerError` when it is refused for good."""
        ...

    def jobs(self) -> list[Row]:
        """All jobs of this user that slurmctld still knows, ended ones too."""
        ...

    def job(self, native_id: str) -> Row | None:
        """One job in detail, from whoever still knows it; None when it is certain that nobody does."""
        ...

    def cancel(self, native_id: str) -> None:
        """Take a job back."""
        ...

    def release(self, native_id: str) -> None:
        """Let a held job go on."""
        ...


def open_controller(bindings: str, seconds: float) -> Controller:
    """The way to slurmctld that the profile asks for.

    Raises
    ------
    ConfigError
        When it is not there.
    """
    commands = CommandController(seconds)
    if bindings in ("auto", "pyslurm"):
        try:
            return BoundController(commands, seconds)
        except (ImportError, ConfigError) as error:
            if bindings == "pyslurm":
                raise ConfigError(f"scheduler.bindings = 'pyslurm', but {error}. Set it to 'cli'.") from error
    missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(name) is None]
    if missing:
        raise ConfigError(f"Slurm cannot be reached: {', '.join(missing)} not on PATH. Is this a submit host?")
    return commands


def refusal(text: str) -> SchedulerError:
    """The error that a failed submission stands for: refused for good, or outcome unknown."""
    told = last_line(text)
    if _REFUSED.search(text) and not _UNREACHED.search(text):
        return SchedulerError(f"Slurm refuses the job: {told}.")
    return SchedulerBusy(f"Slurm could not take the job: {told}.")


class CommandController:
    """Through the commands on PATH."""

    def __init__(self, seconds: float) -> None:
        self._commands = Commands("Slurm", seconds)
        self._user = pwd.getpwuid(os.getuid()).pw_name

    def version(self) -> str:
        """What Slurm says of its version, e.g. ``slurm 22.05.8``."""
        _, output, _ = self._commands.run("scontrol", "--version")
        return output.strip()

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        # What sbatch sees of the environment is what the job gets.
        code, output, errors = self._commands.run(
            "sbatch", "--parsable", "--export=ALL", text=script, environment=environment
        )
        if code != 0:
            raise refusal(errors or output)
        native_id = output.strip().partition(";")[0]
        if not native_id.isdecimal():
            raise SchedulerBusy(f"sbatch ended well but named no job: {last_line(output + errors)}.")
        return native_id

    def jobs(self) -> list[Row]:
        output = self._ask("squeue", "--states=all", f"--user={self._user}", f"--format={_FIELDS}")
        header, *lines = output.splitlines() or [""]
        # The header is a sign of life: without it an empty answer could be that of a broken squeue.
        if not header.startswith("JOBID|STATE|"):
            raise SchedulerBusy(f"squeue gives no answer: {header[:80]!r}.")
        return [_row(line) for line in lines if line.count("|") >= 5]

    def job(self, native_id: str) -> Row | None:
        code, output, errors = self._commands.run("scontrol", "show", "job", "--oneliner", native_id)
        if code == 0 and output.startswith("JobId="):
            return _details(output)
        if _KNOWS_NOT not in errors:
            raise SchedulerBusy(f"scontrol gives no answer: {last_line(errors or output)}.")
        return self._accounted(native_id)

    def cancel(self, native_id: str) -> None:
        self._act("scancel", native_id)

    def release(self, native_id: str) -> None:
        self._act("scontrol", "release", native_id)

    def _accounted(self, native_id: str) -> Row | None:
        """What the accounting says, where there is one."""
        if shutil.which("sacct") is None:
            return None
        fields = "JobIDRaw,State,ExitCode,NodeList"
        code, output, _ = self._commands.run("sacct", "-X", "-n", "-P", "-o", fields, "-j", native_id)
        line = next((line for line in output.splitlines() if line.startswith(f"{native_id}|")), None)
        if code != 0 or line is None:
            return None
        _, state, ending, nodes = line.split("|")[:4]
        return Row(native_id, state, "", None, nodes, "", *_exit(ending))

    def _ask(self, *command: str) -> str:
        code, output, errors = self._commands.run(*command)
        if code != 0:
            raise SchedulerBusy(f"{command[0]} failed: {last_line(errors or output)}.")
        return output

    def _act(self, *command: str) -> None:
        code, output, errors = self._commands.run(*command)
        ended = _KNOWS_NOT in errors or "already" in errors
        if code != 0 and not ended:
            raise SchedulerBusy(f"{command[0]} failed: {last_line(errors or output)}.")


def _row(line: str) -> Row:
    native_id, state, reason, cores, nodes, comment = line.split("|", 5)
    return Row(native_id, state, reason, int(cores) if cores.isdecimal() else None, nodes, comment)


def _details(text: str) -> Row:
    fields: dict[str, str] = dict(re.findall(r"(\w+)=(\S*)", text))

    def get(name: str) -> str:
        return fields.get(name, "").replace("(null)", "")

    cores = get("NumCPUs")
    return Row(
        get("JobId"), get("JobState"), get("Reason"), int(cores) if cores.isdecimal() else None,
        get("NodeList"), get("Comment"), *_exit(get("ExitCode")),
    )  # fmt: skip


def _exit(text: str) -> tuple[int | None, int | None]:
    """``3:9`` is exit code 3, signal 9."""
    code, _, signal = text.partition(":")
    return int(code) if code.isdecimal() else None, int(signal) if signal.isdecimal() else None


# What the templates say to sbatch, in pyslurm's words.
_WORDS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "job-name": ("name", str),
    "comment": ("comment", str),
    "chdir": ("working_directory", str),
    "output": ("standard_output", str),
    "error": ("standard_error", str),
    "open-mode": ("log_files_open_mode", str),
    "nice": ("nice", int),
    "time": ("time_limit", str),
    "signal": ("signal", str),
    "nodes": ("nodes", int),
    "ntasks": ("ntasks", int),
    "cpus-per-task": ("cpus_per_task", int),
    "mem": ("memory_per_node", str),
    "mincpus": ("min_cpus_per_node", str),
    "partition": ("partitions", str),
    "account": ("account", str),
    "qos": ("qos", str),
    "constraint": ("constraints", str),
    "reservation": ("reservations", str),
    "exclude": ("excluded_nodes", str),
    "nodelist": ("required_nodes", str),
}
_FLAGS: dict[str, tuple[str, Any]] = {
    "exclusive": ("resource_sharing", "exclusive"),
    "no-requeue": ("is_requeueable", False),
    "requeue": ("is_requeueable", True),
}


def in_pyslurms_words(script: str) -> dict[str, Any]:
    """The options in a batch script as attributes of pyslurm's ``JobSubmitDescription``.

    Raises
    ------
    ConfigError
        For an option that has no word there: the job would not be what the template says.
    """
    values: dict[str, Any] = {}
    for line in re.findall(r"^#SBATCH\s+(.+)$", script, re.MULTILINE):
        for word in shlex.split(line):
            name, _, value = word.removeprefix("--").partition("=")
            if name in _FLAGS:
                attribute, setting = _FLAGS[name]
                values[attribute] = setting
            elif name in _WORDS:
                attribute, convert = _WORDS[name]
                values[attribute] = convert(value)
            else:
                raise ConfigError(f"the batch script has --{name}, which is not known in pyslurm's words")
    return values


class BoundController:
    """Through pyslurm, of the cluster's own release; what it cannot tell comes from the commands.

    Raises
    ------
    ImportError
        Without pyslurm.
    ConfigError
        When it belongs to another release of Slurm.
    """

    def __init__(self, commands: CommandController, seconds: float) -> None:
        import pyslurm

        self._module: Any = pyslurm
        self._commands = commands
        self._patience = Patience("slurmctld", seconds)
        ours, theirs = _release(str(pyslurm.__version__)), _release(commands.version())
        if ours != theirs:
            raise ConfigError(f"pyslurm {ours} does not fit Slurm {theirs}")

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        values = in_pyslurms_words(script)
        try:
            return str(
                self._patience.ask(
                    lambda: self._module.JobSubmitDescription(
                        script=script, environment=dict(environment), **values
                    ).submit()
                )
            )
        except self._module.RPCError as error:
            raise refusal(str(error)) from error

    def jobs(self) -> list[Row]:
        return self._ask(lambda: [_from_pyslurm(job) for job in self._module.Jobs.load().values()])

    def job(self, native_id: str) -> Row | None:
        try:
            return self._patience.ask(lambda: _from_pyslurm(self._module.Job.load(int(native_id))))
        except self._module.RPCError as error:
            if _KNOWS_NOT.lower() in str(error).lower():
                return self._commands.job(native_id)
            raise SchedulerBusy(f"slurmctld does not answer: {error}.") from error

    def cancel(self, native_id: str) -> None:
        self._act(lambda: self._module.Job(int(native_id)).cancel())

    def release(self, native_id: str) -> None:
        self._act(lambda: self._module.Job(int(native_id)).release())

    def _act(self, call: Callable[[], object]) -> None:
        try:
            self._patience.ask(call)
        except self._module.RPCError as error:
            if not re.search(f"{_KNOWS_NOT}|already", str(error), re.IGNORECASE):
                raise SchedulerBusy(f"slurmctld does not answer: {error}.") from error

    def _ask(self, call: Callable[[], Answer]) -> Answer:
        try:
            return self._patience.ask(call)
        except self._module.RPCError as error:
            raise SchedulerBusy(f"slurmctld does not answer: {error}.") from error


def _release(version: str) -> str:
    """``22.5`` of ``slurm-wlm 22.05.8`` and of ``22.5.3``: pyslurm fits its own release of Slurm only."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return f"{int(found[1])}.{int(found[2])}" if found else version


def _from_pyslurm(job: Any) -> Row:
    return Row(
        str(job.id), str(job.state), str(job.state_reason or ""), job.cpus, str(job.allocated_nodes or ""),
        str(job.comment or ""), job.exit_code, job.exit_code_signal,
    )  # fmt: skip
