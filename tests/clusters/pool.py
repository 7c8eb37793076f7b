"""A real HTCondor pool on this machine, on loopback, whose daemons can be killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil

from tests.clusters.waiting import until

HERE = Path(__file__).parent / "htcondor"


class Pool:
    """A pool whose entire state is in one folder.

    Parameters
    ----------
    prefix : Path
        Where HTCondor is unpacked.
    """

    def __init__(self, prefix: Path, folder: Path, extra: Path | None = HERE / "fast.conf") -> None:
        self.prefix, self.folder, self._extra = prefix, folder, extra
        self.environment = {
            "CONDOR_CONFIG": str(folder / "condor_config"),
            "PATH": f"{prefix}/root/usr/bin:{prefix}/root/usr/sbin:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Start the pool, with the queue that it had before, if any."""
        extra = [str(self._extra)] if self._extra else []
        for stale in ("schedd_address", "collector_address", "negotiator_address", "startd_address", "master_address"):
            (self.folder / "log" / f".{stale}").unlink(missing_ok=True)
        done = subprocess.run(
            [HERE / "start", self.prefix, self.folder, *extra], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def stop(self) -> None:
        """Stop all daemons and kill the jobs."""
        subprocess.run([HERE / "stop", self.folder], check=True, stdout=subprocess.DEVNULL)

    def command(self, *command: str) -> str:
        """Run one of the pool's commands, and return its output."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def daemon(self, name: str) -> psutil.Process:
        """Return the process of this pool's ``condor_NAME``."""
        master = psutil.Process(int((self.folder / "master.pid").read_text()))
        return next(one for one in master.children(recursive=True) if one.name() == f"condor_{name}"[:15])

    def processes(self, pattern: str) -> list[psutil.Process]:
        """Return this pool's processes whose command line matches the pattern."""
        master = psutil.Process(int((self.folder / "master.pid").read_text()))
        found = []
        for process in master.children(recursive=True):
            try:
                if re.search(pattern, " ".join(process.cmdline())):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, process: psutil.Process) -> None:
        os.kill(process.pid, signal.SIGKILL)

    def keys(self) -> list[str]:
        """Return the key of every job that was ever in the queue, once per job."""
        constraint = "GwbatchKey isnt undefined"
        queued = self.command("condor_q", "-allusers", "-constraint", constraint, "-af", "GwbatchKey")
        ended = self.command("condor_history", "-constraint", constraint, "-af", "GwbatchKey")
        return sorted([*queued.split(), *ended.split()])

    def clear(self) -> None:
        """Remove every job."""

        def left() -> bool:
            return bool(self.command("condor_q", "-allusers", "-af", "ClusterId").strip())

        if left():
            try:
                self.command("condor_rm", "-constraint", "true")
            except AssertionError:
                if left():  # otherwise the last job has just ended by itself
                    raise
        until(lambda: not left(), 60)
