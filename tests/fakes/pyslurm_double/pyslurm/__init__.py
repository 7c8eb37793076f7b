"""A double of pyslurm for clusters that no release fits: its names, types and pitfalls, on top of Slurm's commands.

With ``tests/fakes/pyslurm_double`` on PYTHONPATH, ``import pyslurm`` finds this module.  It calls the scontrol and
scancel of PATH, so it works on a real cluster as well as on a fake one.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import Any


def _run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        text = done.stderr or done.stdout or "no explanation"
        raise RPCError(msg=re.sub(r"^\S+: error: |^\S+ error: ", "", text.strip().splitlines()[-1]))
    return done.stdout


class PyslurmError(Exception):
    """The base class of pyslurm's errors."""


class RPCError(PyslurmError):
    """slurmctld refused a request or did not answer."""

    def __init__(self, errno: int = -1, msg: str = "") -> None:
        super().__init__(msg)
        self.errno = errno


def _version() -> str:
    return _run("scontrol", "--version").split()[-1]


# The real library takes a while to load on a busy machine.
time.sleep(float(os.environ.get("PYSLURM_DOUBLE_LOADS", "0")))
__version__ = os.environ.get("PYSLURM_DOUBLE_VERSION") or _version()


class Job:
    """One job."""

    def __init__(self, job_id: int) -> None:
        self.id = job_id

    @staticmethod
    def load(job_id: int) -> Job:
        """Return what slurmctld knows of a job; raise RPCError for an unknown id."""
        return _job(_run("scontrol", "show", "job", "--oneliner", str(job_id)))

    def cancel(self) -> None:
        _run("scancel", str(self.id))

    def release(self) -> None:
        _run("scontrol", "release", str(self.id))

    def hold(self, mode: str | None = None) -> None:
        if mode == "user":
            os.abort()  # a pitfall of the real library, which crashes here
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
    job.working_directory = fields.get("WorkDir")  # type: ignore[attr-defined]
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
