from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gwbatch.config.profile import Profile, load_site
from gwbatch.dispatcher import byhand
from gwbatch.jobs.result import read_result
from gwbatch.model import JobReport, JobRequest, JobState
from gwbatch.schedulers import Scheduler, make_scheduler
from tests.clusters import naps  # noqa: F401
from tests.clusters.pool import Pool, until

ROOT = Path(__file__).parents[2]
PLUGIN = [f'scheduler.environment.PYTHONPATH="{ROOT}"', 'plugins=["tests.clusters.naps"]']


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    prefix = os.environ.get("GWBATCH_CONDOR")
    if prefix is None or os.geteuid() == 0:
        pytest.fail("start these tests with tests/clusters/run: it installs HTCondor and leaves root behind")
    running = Pool(Path(prefix), tmp_path_factory.mktemp("pool"))
    running.start()
    before = {name: os.environ.get(name) for name in running.environment}
    os.environ.update(running.environment)
    yield running
    running.stop()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


class Bench:
    """A scheduler on the real thing, and jobs of a chosen length."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        self.folder, self.profile = folder, profile
        self.scheduler: Scheduler = make_scheduler(profile, folder / "state")

    def nap(self, seconds: float = 0.0, kind: str = "nap", priority: int = 0) -> JobRequest:
        """A job that is not submitted yet."""
        directory = self.folder / "jobs" / uuid.uuid4().hex[:8]
        request = byhand.prepare(kind, {}, "rest.txt", {"seconds": seconds}, self.profile, directory)
        return replace(request, priority=priority)

    def submit(self, seconds: float = 0.0, kind: str = "nap", priority: int = 0) -> JobRequest:
        request = self.nap(seconds, kind, priority)
        self.scheduler.submit(request)
        return request

    def report(self, request: JobRequest) -> JobReport:
        return self.scheduler.poll([request.key])[request.key]

    def until(self, request: JobRequest, *states: JobState, seconds: float = 90.0) -> JobReport:
        """Wait for a state; the report that shows it."""
        found: list[JobReport] = []

        def there() -> bool:
            found.append(self.report(request))
            return found[-1].state in states

        until(there, seconds, lambda: found[-1])
        return found[-1]

    def facts(self, request: JobRequest) -> dict[str, Any]:
        """What a job that ended well told."""
        result = read_result(request.directory, request.key)
        assert result is not None
        return dict(result["facts"])

    def again(self) -> None:
        """A dispatcher that starts again."""
        self.scheduler.close()
        self.scheduler = make_scheduler(self.profile, self.folder / "state")


@pytest.fixture
def bench(tmp_path: Path, pool: Pool, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Parametrize it indirectly with further settings."""
    settings = [*PLUGIN, "scheduler.ask_every=3", *getattr(request, "param", [])]
    made = Bench(tmp_path, load_site("htcondor-generic", settings).profile)
    yield made
    made.scheduler.close()
    pool.clear()
