"""The Grid Engine scheduler: the parts specific to Grid Engine, on top of gwbatch's `PollingScheduler`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from gwbatch.clock import Clock
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.model import JobRequest, JobState
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.dispatcher_id import dispatcher_id
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.polling import PollingScheduler
from gwbatch.schedulers.records import JobRecord
from gwbatch.schedulers.templates import render
from gwbatch_gridengine.commands import Listed, QmasterCommands
from gwbatch_gridengine.options import JobOptions, Options
from gwbatch_gridengine.states import BEING_SENT, ending, interpret

TEMPLATES = Path(__file__).parent / "templates"
TOP = 2000  # gwbatch's highest priority; in Grid Engine only operators may request more than 0


class GridEngineScheduler(PollingScheduler):
    """Schedules jobs on a cluster whose nodes see the job directories.

    Parameters
    ----------
    folder : Path
        Where the scheduler keeps the records of its jobs.
    """

    name, whom = "gridengine", "Grid Engine"

    def __init__(self, folder: Path, profile: Profile, commands: QmasterCommands, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._profile = profile
        self._prefix = f"gwbatch.{dispatcher_id(folder)}"
        queue = GridEngineQueue(commands, self._prefix, profile.scheduler.result_late)
        super().__init__(folder, profile.scheduler, queue, clock)

    def describe(self, request: JobRequest) -> str:
        return job_script(request, self._profile, self._prefix)

    def merged(self, known: JobRecord | None, reported: JobRecord, asked: float) -> JobRecord:
        # A job's files may show that it runs while the qmaster still reports it as being sent; that is no second run.
        if known is not None and known.state is JobState.RUNNING and reported.reason == BEING_SENT:
            return known
        return super().merged(known, reported, asked)


class GridEngineQueue:
    """The queue of one dispatcher's jobs, whose names consist of its prefix and the percent-encoded key.

    A name may not contain ``/``, ``:`` or ``@``, but it may contain ``%``.

    Parameters
    ----------
    late : float
        Seconds for which the accounting may still lack a job that has ended.
    """

    def __init__(self, commands: QmasterCommands, prefix: str, late: float) -> None:
        self._commands = commands
        self._prefix = prefix
        self._late = late
        self._missed: dict[str, float] = {}  # by key, since when a job is missing everywhere; monotonic

    def submit(self, text: str, environment: Mapping[str, str]) -> str:
        return self._commands.submit(text)  # the script contains the job's environment

    def jobs(self) -> list[JobRecord]:
        return [self._record(job) for job in self._commands.listed() if job.name.startswith(f"{self._prefix}.")]

    def details(self, record: JobRecord) -> JobRecord | None:
        found = self._commands.accounted(record.native_id)
        # A qmaster that lost its state numbers its jobs from 1 again, so the number alone does not identify a job.
        if found is None or found.name != job_name(self._prefix, record.key):
            since = self._missed.setdefault(record.key, time.monotonic())
            if record.state is JobState.RUNNING and time.monotonic() - since < self._late:
                raise SchedulerBusy(f"The accounting has no record yet of how job {record.native_id} ended.")
            return None
        self._missed.pop(record.key, None)
        state, reason, code = ending(found.failed, found.explanation, found.exit_status)
        sudden = state is JobState.FAILED and code < 0
        return replace(record, state=state, reason=reason, exit_code=code, host=found.host, sudden=sudden)

    def cancel(self, native_id: str) -> None:
        self._commands.delete(native_id)

    def release(self, native_id: str) -> None:
        self._commands.release(native_id)

    def _record(self, job: Listed) -> JobRecord:
        state, reason, remedy = interpret(job.letters)
        if "E" in job.letters:
            reason = f"held: {self._commands.trouble(job.native_id) or 'in error state'}"
        key = unquote(job.name.removeprefix(f"{self._prefix}."))
        return JobRecord(key, job.native_id, "", state, reason, remedy, job.host)


def job_name(prefix: str, key: str) -> str:
    """Return the name of a job, which contains its key."""
    return f"{prefix}.{quote(key, safe='')}"


def job_script(request: JobRequest, profile: Profile, prefix: str) -> str:
    """Render the script of a job, from ``templates/gridengine.job``.

    Raises
    ------
    ConfigError
        If the path of the job directory contains characters that Grid Engine does not accept.
    """
    if re.search(r"[\s:$\"']", str(request.directory)):
        raise ConfigError(
            f"Cannot submit a job in {request.directory}: Grid Engine takes no space, colon, quote or $ in a path. "
            "Choose another scheduler.job_directory."
        )
    resources = request.resources
    options = msgspec.convert(profile.scheduler.options, Options)
    own = msgspec.convert(resources.options, JobOptions)
    limit = int(resources.time_limit or resources.run_deadline)
    return render(
        "gridengine.job",
        TEMPLATES,
        job=request,
        name=job_name(prefix, request.key),
        options=options,
        queue=own.queue or options.queue,
        requests=[*own.requests, *([options.whole_node] if resources.whole_node and options.whole_node else [])],
        slots=resources.min_cores if resources.whole_node else resources.cores,
        whole_node=resources.whole_node,
        avoid="|".join(request.avoid),
        priority=-min(1023, max(0, TOP - request.priority) // 2),
        time_limit=limit,
        warn_after=limit - int(profile.scheduler.warn_before),
        python=interpreter(profile.scheduler),
        environment=job_environment(profile.scheduler),
    )
