"""A real HTCondor pool of several hosts, which see nothing of the access point but the programs."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.clusters.pool import HERE, Pool
from tests.clusters.waiting import until

NAMES = ("node1", "node2")


def without_jobs_here(folder: Path, more: str) -> Path:
    """Write settings for a pool whose access point runs no jobs, and return their file."""
    extra = folder.with_suffix(".conf")
    extra.write_text((HERE / "fast.conf").read_text() + more + "DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD\n")
    return extra


class PoolOfHosts(Pool):
    """A pool whose jobs run on hosts with their own names and file trees.

    Parameters
    ----------
    folder : Path
        Folder of the access point.
    hidden : Path
        Folder that is empty on the hosts; it contains `folder` and all that tests write.
    hosts : Path
        Folder of the hosts, which is not in `hidden`.
    """

    def __init__(self, prefix: Path, folder: Path, hidden: Path, hosts: Path) -> None:
        super().__init__(prefix, folder, without_jobs_here(folder, (HERE / "tokens.conf").read_text()))
        self._hidden, self._hosts = hidden, hosts
        self._masters: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        super().start()
        try:
            self._start_hosts()
        except BaseException:
            self.stop()
            raise

    def _start_hosts(self) -> None:
        for name in NAMES:
            log = self._hosts / f"{name}.log"
            words = [HERE / "host", self.folder, self._hosts / name, name, self._hidden]
            with log.open("wb") as out:
                self._masters.append(subprocess.Popen(words, stdout=out, stderr=out))
        logs = self._hosts.glob("*.log")
        until(lambda: self.count() == len(NAMES), 60, lambda: [log.read_text() for log in logs])

    def count(self) -> int:
        """Return the number of hosts that take jobs."""
        return self.command("condor_status", "-constraint", "PartitionableSlot", "-af", "Start").split().count("true")

    def stop(self) -> None:
        try:
            for master in self._masters:
                master.send_signal(signal.SIGQUIT)
            for master in self._masters:
                master.wait(60)
        finally:
            super().stop()
