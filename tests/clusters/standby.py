"""A real scheduler with pilots on a workbench."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gwbatch.dispatcher.standby import pilot_request
from gwbatch.jobs.standby.layout import Beat
from gwbatch.model import JobReport, JobRequest
from gwbatch.schedulers.standby import Crew, StandbyScheduler
from tests.clusters.bench import Bench
from tests.clusters.waiting import until

STANDBY = ['standby.openmp.kinds=["nap"]', "standby.openmp.orphaned_after=600"]


class StandbyBench(Bench):
    """Jobs, and pilots that take them."""

    @property
    def standby(self) -> StandbyScheduler:
        assert isinstance(self.scheduler, StandbyScheduler)
        return self.scheduler

    @property
    def crew(self) -> Crew:
        return self.standby.crews["openmp"]

    def submit_pilot(self, number: int = 1) -> str:
        """Ask for a pilot; returns the key of its job."""
        key = f"standby/openmp/{number}"
        directory = self.folder / "pilots" / str(number)
        settings = self.profile.standby["openmp"]
        self.crew.pilots.submit(pilot_request(self.crew, settings, key, directory, self.profile))
        return key

    def pilot(self, number: int = 1, seconds: float = 90.0) -> Beat:
        """A pilot that is ready."""
        key = self.submit_pilot(number)
        return self.ready(key, seconds)

    def ready(self, key: str, seconds: float = 90.0, after: float = 0.0) -> Beat:
        found: list[Beat] = []

        def there() -> bool:
            reports = self.standby.poll_pilots([key])
            assert key not in reports or not reports[key].state.final, self.words(reports[key])
            found[:] = [beat for beat in self.crew.folder.look() if beat.job == key and beat.ready > after]
            return bool(found)

        until(there, seconds)
        return found[-1]

    def words(self, report: JobReport) -> str:
        said = [file.read_text() for file in (self.folder / "pilots").glob("*/std*") if file.is_file()]
        return "\n".join([str(report), *said])

    def leave(self, *keys: str) -> None:
        self.crew.folder.order(list(keys))

    def is_warm(self, request: JobRequest) -> bool:
        return request.key in set(self.standby.warm_keys()) or self.report(request).native_id.startswith("standby ")

    @contextmanager
    def timed(self, *, size: int = 0) -> Iterator[list[float]]:
        """Seconds from the submission of a job to its first instruction, as the node's clock has it."""
        taken: list[float] = []
        yield taken

    def first_instruction(self, request: JobRequest) -> float:
        """Submit a job, wait for its end, and return the seconds to its first instruction."""
        began = time.time()
        self.scheduler.submit(request)
        from gwbatch.model import JobState

        self.until(request, JobState.DONE)
        return float(self.facts(request)["began"]) - began


def given(request: JobRequest, bytes_in: int) -> JobRequest:
    """The same job with an input of that many bytes."""
    raise NotImplementedError(request, bytes_in)


def folders(path: Path) -> list[str]:
    """What lies in the standby folder, but for heartbeats."""
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if "pilots/" not in str(file))
