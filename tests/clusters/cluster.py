"""A real Slurm cluster of several nodes on this machine, on loopback, whose daemons can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.clusters.environment import environment
from tests.clusters.waiting import until

HERE = Path(__file__).parent / "slurm"


@contextmanager
def started(nodes: int = 4, within: str = "") -> Iterator[Cluster]:
    """Run a cluster, with the environment that its commands need, for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="gwbatch-slurm-"))
    folder.chmod(0o755)  # munge requires a socket that every user can reach
    running = Cluster(folder, nodes, within=within)
    running.start()
    with environment(running.environment):
        yield running
    running.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """A cluster whose entire state is in one folder.

    Parameters
    ----------
    within : str
        Command, with its arguments, that runs each slurmd.
    """

    def __init__(self, folder: Path, nodes: int = 4, cores: int = 2, within: str = "") -> None:
        self.folder, self._nodes, self._cores, self._within = folder, nodes, cores, within
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start the cluster without any earlier jobs."""
        settings = {**os.environ, "NODE_MEM": "5000", "SLURMDTIMEOUT": "10", "SLURMD_WITHIN": self._within}
        done = subprocess.run(
            [HERE / "start", self.folder, str(self._nodes), str(self._cores)], env=settings, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        self.environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
        }

    def stop(self) -> None:
        """Cancel all jobs and stop the daemons."""
        subprocess.run([HERE / "stop", self.folder], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def command(self, *command: str) -> str:
        """Run one of the cluster's commands, and return its output."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def mpi(self) -> str:
        """Return the MPI plugins of srun."""
        done = subprocess.run(["srun", "--mpi=list"], env={**os.environ, **self.environment}, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)  # fmt: skip
        return done.stdout

    def daemon(self, name: str) -> psutil.Process:
        """Return the process of a daemon: ``slurmctld``, or for example ``slurmd-n1`` on a node."""
        return psutil.Process(int((self.folder / "run" / f"{name}.pid").read_text()))

    def kill(self, process: psutil.Process) -> None:
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)

    def start_controller(self) -> None:
        """Start slurmctld again, with its saved state."""
        self.command("slurmctld", "-f", str(self.folder / "slurm.conf"))
        until(lambda: {"idle", "mixed", "allocated"} & set(self.command("sinfo", "-h", "-o", "%T").split()), 60)

    def start_node(self, node: str) -> None:
        """Start a node's slurmd again."""
        self.command("slurmd", "-N", node, "-f", str(self.folder / "slurm.conf"))

    @contextmanager
    def dead_node(self, node: str, job: str) -> Iterator[None]:
        """Have a node dead, with the `job` on it, and in service again afterwards.

        All die as in a power cut: a slurmstepd that outlived its job by a moment would still report how it ended.
        """
        stepds = [one for one in psutil.process_iter(["cmdline"]) if f"[{job}." in " ".join(one.info["cmdline"] or [])]
        processes = [process for stepd in stepds for process in stepd.children(recursive=True)]
        for process in [*stepds, self.daemon(f"slurmd-{node}"), *processes]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        try:
            yield
        finally:
            self.start_node(node)
            serves = {"idle", "mixed", "allocated"}
            until(lambda: self.command("sinfo", "-h", "-n", node, "-p", "main", "-o", "%T").strip() in serves, 90)

    def comments(self) -> list[str]:
        """Return the comment of every gwbatch job that slurmctld knows."""
        listed = self.command("squeue", "--states=all", "-h", "-o", "%k").splitlines()
        return sorted(line for line in listed if line.startswith("gwbatch:"))

    def clear(self) -> None:
        """Cancel every job."""
        self.command("scancel", "--state=PENDING")
        self.command("scancel", "--state=RUNNING")
        until(lambda: not self.command("squeue", "-h").strip(), 60)
