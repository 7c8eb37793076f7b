"""A test bench for a real scheduler, with jobs of a chosen length and helpers that wait for their states."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from gwbatch.config.profile import Profile
from gwbatch.dispatcher import run_once
from gwbatch.jobs.result import read_result
from gwbatch.jobs.spec import write_request
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers import Scheduler, make_scheduler
from tests.clusters import sleep_jobs  # noqa: F401
from tests.clusters.waiting import until

ROOT = Path(__file__).parents[2]
PLUGIN = [f'scheduler.environment.PYTHONPATH="{ROOT}"', 'plugins=["tests.clusters.sleep_jobs"]']


class SchedulerBench:
    """A scheduler, with jobs to submit to it."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self.folder, self.profile = folder, profile
        self.scheduler: Scheduler = make_scheduler(profile, folder / "state")

    def nap(self, seconds: float = 0.0, kind: str = "nap", priority: int = 0) -> JobRequest:
        """Prepare a job without submitting it."""
        directory = self.folder / "jobs" / uuid.uuid4().hex[:8]
        request = run_once.prepare_job(kind, {}, "rest.txt", {"seconds": seconds}, self.profile, directory)
        return replace(request, priority=priority)

    def waiting(self, key: str) -> JobRequest:
        """Prepare, but do not submit, a job with this key that ends once its directory holds a file ``end``."""
        directory = self.folder / "jobs" / key.replace("/", "-")
        request = run_once.prepare_job("wait", {}, "rest.txt", {}, self.profile, directory)
        write_request(directory, key, "wait", (), "rest.txt", {}, self.profile)
        return replace(request, key=key)

    def submit(self, seconds: float = 0.0, kind: str = "nap", priority: int = 0) -> JobRequest:
        request = self.nap(seconds, kind, priority)
        self.scheduler.submit(request)
        return request

    def report(self, request: JobRequest) -> JobStatus:
        return self.scheduler.poll([request.key])[request.key]

    def until(self, request: JobRequest, *states: JobState, seconds: float = 90.0) -> JobStatus:
        """Wait for one of these states, and return the report that shows it."""
        found: list[JobStatus] = []

        def there() -> bool:
            found.append(self.report(request))
            return found[-1].state in states

        until(there, seconds, lambda: found[-1])
        return found[-1]

    def facts(self, request: JobRequest) -> dict[str, Any]:
        """Return the facts in a successful job's result."""
        result = read_result(request.directory, request.key)
        assert result is not None
        return dict(result["facts"])

    def again(self) -> None:
        """Replace the scheduler with a new one, as a restarted dispatcher does."""
        self.scheduler.close()
        self.scheduler = make_scheduler(self.profile, self.folder / "state")
