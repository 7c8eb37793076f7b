"""Stands in for pyslurm where no release of it fits the cluster: its names, types and traps over the commands.

On PYTHONPATH ``tests/fakes/pyslurm_double`` this is what ``import pyslurm`` finds.  Behind it are the sbatch,
squeue, scontrol and scancel of PATH, so it works on a real cluster as on a pretended one.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any


def _run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        text = done.stderr or done.stdout or "no explanation"
        raise RPCError(msg=re.sub(r"^\S+: error: |^\S+ error: ", "", text.strip().splitlines()[-1]))
    return done.stdout


class PyslurmError(Exception):
    """The base of its errors."""


class RPCError(PyslurmError):
    """slurmctld refused, or did not answer."""

    def __init__(self, errno: int = -1, msg: str = "") -> None:
        super().__init__(msg)
        self.errno = errno


def _version() -> str:
    return _run("scontrol", "--version").split()[-1]


__version__ = _version()


class JobSubmitDescription:
    """What a job asks for; every attribute is a keyword."""

    _NAMES = (
        "name", "account", "comment", "working_directory", "nodes", "excluded_nodes", "required_nodes", "constraints",
        "memory_per_node", "nice", "log_files_open_mode", "partitions", "qos", "is_requeueable", "reservations",
        "script", "environment", "resource_sharing", "time_limit", "cpus_per_task", "ntasks", "signal",
        "standard_output", "standard_error", "dependencies", "priority", "min_cpus_per_node",
    )  # fmt: skip
    _OPTIONS = {
        "name": "job-name", "account": "account", "comment": "comment", "working_directory": "chdir", "nodes": "nodes",
        "excluded_nodes": "exclude", "required_nodes": "nodelist", "constraints": "constraint",
        "memory_per_node": "mem", "nice": "nice", "log_files_open_mode": "open-mode", "partitions": "partition",
        "qos": "qos", "reservations": "reservation", "time_limit": "time", "cpus_per_task": "cpus-per-task",
        "ntasks": "ntasks", "signal": "signal", "standard_output": "output", "standard_error": "error",
        "dependencies": "dependency", "priority": "priority", "min_cpus_per_node": "mincpus",
    }  # fmt: skip

    def __init__(self, **attributes: Any) -> None:
        for name in self._NAMES:
            setattr(self, name, attributes.pop(name, None))
        if attributes:
            raise AttributeError(f"'JobSubmitDescription' object has no attribute {next(iter(attributes))!r}")

    def submit(self) -> int:
        """Submit; returns the job id."""
        if self.time_limit is not None and re.fullmatch(r"\d+", str(self.time_limit)):
            raise TypeError("an integer is required")  # a trap of the real one: time_limit="5"
        words = [
            f"--{self._OPTIONS[name]}={getattr(self, name)}"
            for name in self._OPTIONS
            if getattr(self, name) is not None
        ]
        words += ["--exclusive"] if self.resource_sharing == "exclusive" else []
        words += {True: ["--requeue"], False: ["--no-requeue"], None: []}[self.is_requeueable]
        # Its own options alone count: the #SBATCH lines of the script are not read.
        script = re.sub(r"^#SBATCH.*\n", "", self.script, flags=re.MULTILINE)
        environment = {**self.environment, "PATH": self.environment.get("PATH", os.environ["PATH"])}
        if "SLURM_CONF" in os.environ:
            environment["SLURM_CONF"] = os.environ["SLURM_CONF"]
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            # A pretended sbatch looks for the key in the script.
            file.write(script.replace("\n", f"\n#SBATCH --comment={self.comment}\n", 1))
            file.flush()
            with Path(file.name).open() as stream:
                return int(_run("sbatch", "--parsable", "--export=ALL", *words, stdin=stream, env=environment).strip())


class Job:
    """One job."""

    def __init__(self, job_id: int) -> None:
        self.id = job_id

    @staticmethod
    def load(job_id: int) -> Job:
        """What slurmctld says of it; raises RPCError for an id that it does not know."""
        return _job(_run("scontrol", "show", "job", "--oneliner", str(job_id)))

    def cancel(self) -> None:
        _run("scancel", str(self.id))

    def release(self) -> None:
        _run("scontrol", "release", str(self.id))

    def hold(self, mode: str | None = None) -> None:
        if mode == "user":
            os.abort()  # a trap of the real one: it crashes
        _run("scontrol", "hold", str(self.id))

    def requeue(self) -> None:
        _run("scontrol", "requeue", str(self.id))


def _job(text: str) -> Job:
    fields = dict(re.findall(r"(\w+)=(\S*)", text))
    job = Job(int(fields["JobId"]))
    job.state = fields["JobState"]  # type: ignore[attr-defined]
    job.state_reason = None if fields["Reason"] == "None" else fields["Reason"]  # type: ignore[attr-defined]
    code, _, signal = fields["ExitCode"].partition(":")
    job.exit_code, job.exit_code_signal = int(code), int(signal or 0)  # type: ignore[attr-defined]
    nodes = fields.get("NodeList", "")
    job.allocated_nodes = None if nodes in ("", "(null)") else nodes  # type: ignore[attr-defined]
    job.cpus = int(fields["NumCPUs"].partition("-")[0])  # type: ignore[attr-defined]
    job.comment = fields.get("Comment")  # type: ignore[attr-defined]
    return job


class Jobs(dict[int, Job]):
    """All jobs, by id."""

    @staticmethod
    def load() -> Jobs:
        listed = _run("scontrol", "show", "job", "--oneliner").splitlines()
        if not listed or not listed[0].startswith(("JobId=", "No jobs in the system")):
            raise RPCError(msg="Unable to contact slurm controller (connect failure)")
        jobs = [_job(line) for line in listed if line.startswith("JobId=")]
        return Jobs({job.id: job for job in jobs})
