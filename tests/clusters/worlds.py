"""Real batch systems for the scheduler contract, on a file system that the nodes share."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from gwbatch.config.profile import Profile
from gwbatch.model import JobRequest
from gwbatch.schedulers import Scheduler, make_scheduler
from tests.clusters.bench import SchedulerBench
from tests.clusters.waiting import until
from tests.contract.worlds import World


class RealWorld(World):
    """A real batch system, whose jobs start when there is room and end once a test puts a file into their folder.

    Parameters
    ----------
    submitter : str
        The command that submits a job, whose answer `lose_a_reply` suppresses.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, profile: Profile, submitter: str) -> None:
        super().__init__(folder, monkeypatch)
        self.bench = SchedulerBench(folder, profile)
        self._submitter = submitter
        self._requests: dict[str, JobRequest] = {}

    def scheduler(self) -> Scheduler:
        return make_scheduler(self.bench.profile, self.folder / "state")

    def request(self, key: str) -> JobRequest:
        if key not in self._requests:
            self._requests[key] = self.bench.waiting(key)
        return self._requests[key]

    def run(self, key: str) -> None:
        until((self.request(key).directory / "started.json").exists)

    def finish(self, key: str) -> None:
        (self.request(key).directory / "end").touch()

    def lose_a_reply(self) -> None:
        """Shadow the command with a script that calls it but suppresses its output and fails."""
        real, folder = shutil.which(self._submitter), self.folder / "silent"
        folder.mkdir()
        script = folder / self._submitter
        script.write_text(f'#!/bin/sh\n{real} "$@" > /dev/null\nkill -9 $$\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self._monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def fall_silent(self, silent: bool = True) -> None:
        (self.folder / "silent" / self._submitter).unlink(missing_ok=True)

    def forget(self, key: str) -> None:
        native_id = self.scheduler().find([key])[key].native_id
        subprocess.run(["pkill", "-KILL", "-f", str(self.request(key).directory)], check=False)
        self.forget_job(native_id)

    def forget_job(self, native_id: str) -> None:
        """Let the batch system forget a job whose processes are dead."""
        raise NotImplementedError
