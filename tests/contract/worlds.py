"""The batch systems on which the scheduler contract is tested, each with methods that control its jobs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from gwbatch.clock import ManualClock
from gwbatch.config.profile import Profile, Resources, SchedulerSettings
from gwbatch.jobs.result import NAME, write_json
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers import Scheduler, make_scheduler
from gwbatch.schedulers.simulated import SimulatedScheduler, Step
from tests.fakes.condor import FakeCondor
from tests.fakes.gridengine import FakeGridEngine
from tests.fakes.slurm import FakeSlurm

DOUBLE = Path(__file__).parents[1] / "fakes" / "pyslurm_double"
GRIDENGINE = Path(__file__).parents[2] / "docs" / "examples" / "gridengine"
PATIENCE = 5.0


class World:
    """A batch system, and what a test can do with it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch

    def scheduler(self) -> Scheduler:
        """Return a new scheduler, which starts from what an earlier one left behind."""
        raise NotImplementedError

    def request(self, key: str) -> JobRequest:
        """Return a job whose directory is ready."""
        directory = self.folder / key.replace("/", "-")
        directory.mkdir(exist_ok=True)
        return JobRequest(key, "k", "openmp", directory, ("job.json",), ("out",), Resources(cores=0))

    def run(self, key: str) -> None:
        """Let the job begin."""
        raise NotImplementedError

    def finish(self, key: str) -> None:
        """Let the job succeed and leave its result."""
        raise NotImplementedError

    def alive(self, key: str) -> int:
        """Return the number of jobs with this key that wait or run."""
        raise NotImplementedError

    def lose_a_reply(self) -> None:
        """Let the next submission succeed, but lose its reply."""
        raise NotImplementedError

    def fall_silent(self, silent: bool = True) -> None:
        """Stop answering, or answer again."""

    def forget(self, key: str) -> None:
        """Let the batch system forget a job that never ended."""
        raise NotImplementedError

    def profile(self, kind: str, **scheduler: Any) -> Profile:
        settings = {"kind": kind, "ask_every": 0.05, "ask_soonest": 0.05, "patience": PATIENCE, **scheduler}
        return Profile(scheduler=msgspec.convert(settings, SchedulerSettings))

    def result(self, key: str) -> None:
        """Write the result that a successful job leaves behind."""
        write_json(self.request(key).directory / NAME, {"version": 1, "key": key, "outputs": {}, "started": 1.0})


class SlurmWorld(World):
    bindings = "cli"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.fake = FakeSlurm(folder / "cluster").install()
        monkeypatch.setenv("PATH", f"{self.fake.bin}:/usr/bin:/bin")

    def scheduler(self) -> Scheduler:
        return make_scheduler(self.profile("slurm", bindings=self.bindings, result_late=0.3), self.folder)

    def run(self, key: str) -> None:
        self.fake.set(self._job(key), "RUNNING")

    def finish(self, key: str) -> None:
        self.result(key)
        self.fake.set(self._job(key), "COMPLETED")

    def alive(self, key: str) -> int:
        return len(self._jobs(key, "PENDING", "RUNNING"))

    def lose_a_reply(self) -> None:
        self.fake.behave(sbatch="lose")

    def fall_silent(self, silent: bool = True) -> None:
        self.fake.behave(**(dict.fromkeys(("sbatch", "squeue", "scontrol", "scancel"), "fail") if silent else {}))

    def forget(self, key: str) -> None:
        self.fake.forget(self._job(key))

    def _job(self, key: str) -> str:
        return self._jobs(key)[0]

    def _jobs(self, key: str, *states: str) -> list[str]:
        jobs = self.fake.jobs.items()
        return [
            job for job, one in jobs if one["comment"].endswith(f":{key}") and (not states or one["state"] in states)
        ]


class PyslurmWorld(SlurmWorld):
    bindings = "pyslurm"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        monkeypatch.syspath_prepend(str(DOUBLE))


class HTCondorWorld(World):
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.fake = FakeCondor(folder / "pool").install()
        monkeypatch.setenv("PATH", f"{self.fake.bin}:/usr/bin:/bin")

    def scheduler(self) -> Scheduler:
        return make_scheduler(self.profile("htcondor", bindings="cli"), self.folder)

    def run(self, key: str) -> None:
        self.fake.start(self._jobs(key)[0])

    def finish(self, key: str) -> None:
        self.result(key)
        self.fake.end(self._jobs(key)[0])

    def alive(self, key: str) -> int:
        return len(self._jobs(key))

    def lose_a_reply(self) -> None:
        self.fake.behave(condor_submit="lose")

    def fall_silent(self, silent: bool = True) -> None:
        commands = ("condor_submit", "condor_q", "condor_rm", "condor_release")
        self.fake.behave(**(dict.fromkeys(commands, "fail") if silent else {}))

    def forget(self, key: str) -> None:
        self.fake.vanish(self._jobs(key)[0])

    def _jobs(self, key: str) -> list[str]:
        return [job for job, ad in self.fake.jobs.items() if ad["GwbatchKey"] == key]


class SimulatedWorld(World):
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self._one = SimulatedScheduler(ManualClock(0.0), script=lambda request: [Step(0, JobState.QUEUED)])

    def scheduler(self) -> Scheduler:
        return self._one

    def run(self, key: str) -> None:
        self._one._jobs[key].steps = (Step(0, JobState.RUNNING),)

    def finish(self, key: str) -> None:
        self._one._jobs[key].steps = (Step(0, JobState.DONE),)

    def alive(self, key: str) -> int:
        report = self._one.find([key]).get(key)
        return int(report is not None and not report.state.final)

    def lose_a_reply(self) -> None:
        self._one.lose_replies = 1

    def fall_silent(self, silent: bool = True) -> None:
        self._one.reachable = not silent

    def forget(self, key: str) -> None:
        self._one.forget(key)


class LocalWorld(World):
    def scheduler(self) -> Scheduler:
        from gwbatch.schedulers.local import LocalScheduler

        wait = "while [ ! -e end ]; do sleep 0.01; done"
        self._monkeypatch.setattr(LocalScheduler, "_command", lambda _self, _request: ["/bin/sh", "-c", wait])
        return make_scheduler(self.profile("local"), self.folder)

    def run(self, key: str) -> None:
        """Do nothing, because the job starts by itself."""

    def finish(self, key: str) -> None:
        self.result(key)
        (self.request(key).directory / "end").touch()

    def alive(self, key: str) -> int:
        folder = self.request(key).directory
        found = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                here = (process / "cwd").readlink() == folder
                found += here and b"while [" in (process / "cmdline").read_bytes()
            except OSError:
                continue
        return min(found, 1)


class GridEngineWorld(World):
    """A fake Grid Engine, with the plug-in of ``docs/examples/gridengine`` found only by its entry point."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, monkeypatch)
        self.fake = FakeGridEngine(folder / "cell").install()
        monkeypatch.setenv("PATH", f"{self.fake.bin}:/usr/bin:/bin")
        installed = folder / "installed" / "gwbatch_gridengine-0.1.0.dist-info"
        installed.mkdir(parents=True)
        declared = tomllib.loads((GRIDENGINE / "pyproject.toml").read_text())["project"]["entry-points"]
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: gwbatch-gridengine\nVersion: 0.1.0\n")
        lines = [f"[{group}]\n{name} = {value}\n" for group, one in declared.items() for name, value in one.items()]
        (installed / "entry_points.txt").write_text("".join(lines))
        monkeypatch.syspath_prepend(str(installed.parent))
        monkeypatch.syspath_prepend(str(GRIDENGINE))

    def scheduler(self) -> Scheduler:
        return make_scheduler(self.profile("gridengine", result_late=0.3), self.folder)

    def run(self, key: str) -> None:
        self.fake.set(self._jobs(key)[0], "r")

    def finish(self, key: str) -> None:
        self.result(key)
        self.fake.end(self._jobs(key)[0])

    def alive(self, key: str) -> int:
        return len(self._jobs(key))

    def lose_a_reply(self) -> None:
        self.fake.behave(qsub="lose")

    def fall_silent(self, silent: bool = True) -> None:
        self.fake.behave(**(dict.fromkeys(("qsub", "qstat", "qdel", "qacct"), "fail") if silent else {}))

    def forget(self, key: str) -> None:
        self.fake.forget(self._jobs(key)[0])

    def _jobs(self, key: str) -> list[str]:
        return [job for job, one in self.fake.jobs.items() if one["name"].endswith(f".{quote(key, safe='')}")]
