"""Single computations in the site's batch system, without ledger or dispatcher, for ``site check`` and ``job``."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import Profile
from gwbatch.errors import GwbatchError
from gwbatch.jobs.catalogue import queue_of
from gwbatch.jobs.result import NAME, fault, read_result
from gwbatch.jobs.spec import REQUEST, write_request
from gwbatch.model import JobRequest, JobState, JobStatus, Remedy
from gwbatch.schedulers import Scheduler

LOOK_EVERY = 0.05  # s

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOutcome:
    """How a computation went.

    Attributes
    ----------
    waited : float
        Seconds from the call of `run` to the job's first instruction.
    returned : float
        Seconds from the job's last instruction to the end of the wait, when its outputs are here.
    """

    report: JobStatus
    result: Mapping[str, Any]
    directory: Path
    waited: float
    returned: float


def prepare_job(
    kind: str,
    inputs: Mapping[str, Path],
    output: str,
    parameters: Mapping[str, Any],
    profile: Profile,
    directory: Path,
) -> JobRequest:
    """Make a job directory for one computation, and return the request for it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, source in inputs.items():
        shutil.copyfile(source, directory / name)
    key, queue = f"by-hand/{kind}/{directory.name}", queue_of(kind)
    write_request(directory, key, kind, inputs, output, parameters, profile)
    return JobRequest(
        key, kind, queue, directory.absolute(), (REQUEST, *inputs), (output, NAME), profile.resources(queue)
    )


def run(
    request: JobRequest,
    scheduler: Scheduler,
    timeout: float,
    watch: Callable[[JobStatus], None] = lambda report: None,
    clock: Clock | None = None,
) -> RunOutcome:
    """Submit the job and wait for its end; call `watch` whenever its state or reason changes.

    Cancel the job after an interrupt or `timeout` seconds, or when it is held and a release cannot help.

    Raises
    ------
    GwbatchError
        When the job failed or the wait was given up; the message gives the reason.
    """
    clock = clock or SystemClock()
    decided, began = clock.now(), clock.steady()
    report = JobStatus(request.key, JobState.WAITING)
    try:
        scheduler.submit(request)
        while not report.state.final:
            clock.sleep(LOOK_EVERY)
            seen = scheduler.poll([request.key])[request.key]
            if (seen.state, seen.reason) != (report.state, report.reason):
                watch(seen)
            report = seen
            hopeless = report.state is JobState.HELD and report.remedy in (Remedy.GIVE_UP, Remedy.FAIL)
            waited = clock.steady() - began
            if hopeless or waited > timeout:
                text = f"{report.state}" + (f" ({report.reason})" if report.reason else "")
                raise GwbatchError(f"Gave up waiting for the job after {waited:.0f} s; it is {text}.")
    except BaseException:
        try:
            scheduler.cancel(request.key)
        except GwbatchError as error:
            log.warning("cannot cancel the job %s: %s", request.key, error)
        raise
    ended = clock.now()
    result = read_result(request.directory, request.key)
    if result is None:
        raise GwbatchError(f"The job left no {NAME}: {report.reason or report.state}. See {request.directory}/stderr.")
    wrong = fault(request.directory, result)
    if wrong is not None:
        raise GwbatchError(f"The job failed: {wrong}. See {request.directory}/stderr.")
    return RunOutcome(report, result, request.directory, result["started"] - decided, ended - result["finished"])
