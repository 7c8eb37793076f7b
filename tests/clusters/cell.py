"""A real Grid Engine cell of one node on this machine, whose daemons can be stopped and killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from tests.clusters.waiting import until

HERE = Path(__file__).parent / "gridengine"
SLOTS = 4


class Cell:
    """A cell whose entire state is in one folder.

    Parameters
    ----------
    prefix : Path
        Where Grid Engine is unpacked.
    """

    def __init__(self, prefix: Path, folder: Path) -> None:
        self.prefix, self.folder = prefix, folder
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start the daemons that are not running, with the state that the cell had before."""
        done = subprocess.run(
            [HERE / "start", self.folder, str(SLOTS)], env={**os.environ, "GRIDENGINE": str(self.prefix)}, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        settings = (self.folder / "env.sh").read_text().splitlines()[0].removeprefix("export ").split()
        self.environment = {**dict(one.split("=", 1) for one in settings), "PATH": self._path()}

    def stop(self) -> None:
        """Stop the daemons and kill the running jobs."""
        subprocess.run([HERE / "stop", self.folder], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def command(self, *command: str) -> str:
        """Run one of the cell's commands, and return its output."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    @property
    def qmaster(self) -> psutil.Process:
        return psutil.Process(int((self.folder / "sge_qmaster.pid").read_text()))

    def kill_qmaster(self) -> None:
        master = self.qmaster
        master.send_signal(signal.SIGKILL)
        until(lambda: not master.is_running() or master.status() == psutil.STATUS_ZOMBIE)

    def forget(self, job: str) -> None:
        """Lose a job and every record of it, as a cell does when its spool is restored from a backup."""
        self.kill_qmaster()
        spool = self.folder / "spool" / "qmaster"
        digits = f"{int(job):010d}"
        saved = spool / "jobs" / digits[:2] / digits[2:6] / digits[6:]
        shutil.rmtree(saved) if saved.is_dir() else saved.unlink()
        self.start()

    def clear(self) -> None:
        """Delete every job."""
        self.command("qdel", "-u", "*")
        until(lambda: not self.command("qstat", "-u", "*").strip(), 60)

    def _path(self) -> str:
        return f"{self.prefix}/bin/lx-amd64:{os.environ['PATH']}"
