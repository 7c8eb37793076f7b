"""The job watcher, which polls the scheduler once for all jobs and enforces a deadline for each phase."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from gwbatch.errors import GwbatchError, LeaseLost, LedgerBusy, backoff, describe, printable
from gwbatch.executors.jobs import end_job
from gwbatch.failpoints import hit
from gwbatch.jobs.result import fault, read_result
from gwbatch.ledger import jobs, leases
from gwbatch.ledger.jobs import Job
from gwbatch.model import JobState, JobStatus, Remedy
from gwbatch.runtime import Runtime

log = logging.getLogger(__name__)


class JobWatcher:
    """Follows jobs until they end, and never takes silence for an end."""

    def __init__(self, runtime: Runtime) -> None:
        self._ledger = runtime.ledger
        self._profile = runtime.profile
        self._scheduler = runtime.scheduler()
        self._lease = runtime.lease
        self._clock = runtime.clock
        self._given_up: dict[str, tuple[int, float]] = {}  # by attempt: failed cancellations, and time of the next try

    def step(self) -> bool:
        """Poll all jobs once; return False when there are none."""
        followed = jobs.followed(self._ledger.connection)
        if not followed:
            return False
        try:
            reports = self._scheduler.poll([job.attempt_key for job in followed])
        except Exception as error:
            reports = {
                job.attempt_key: JobStatus(job.attempt_key, JobState.UNKNOWN, reason=str(error)) for job in followed
            }
        for job in followed:
            report = reports.get(job.attempt_key, JobStatus(job.attempt_key, JobState.UNKNOWN, reason="no answer"))
            if not job.native_id:  # after a crash only its result was found
                report = JobStatus(job.attempt_key, JobState.LOST, reason="the scheduler no longer knows it")
            try:
                self._take(job, self._overdue(job, self._remedied(job, report)))
            except (LeaseLost, LedgerBusy):
                raise
            except Exception as error:
                log.exception("job %s: cannot process its result", job.attempt_key)
                reason = f"cannot process its result: {describe(error)}"
                self._take(replace(job, directory=None), JobStatus(job.attempt_key, JobState.FAILED, reason=reason))
        return True

    def _take(self, job: Job, report: JobStatus) -> None:
        result = None
        if report.state.final and report.state is not JobState.CANCELLED:
            report, result = apply_result(job, report, self._clock.now())
            if result is None and not report.retryable:
                result = {"error": {"message": report.reason, "retryable": False}}
        unchanged = report.state is job.state and (report.reason or None) == job.reason
        if unchanged and (report.started is None or job.started is not None):
            return
        hit(f"watcher.{report.state.lower()}")
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            if report.state.final:
                end_job(tx, job, report, result, self._clock.now())
            else:
                jobs.report(tx, job, report, None, self._clock.now())
        hit(f"watcher.{report.state.lower()}_committed")

    def _remedied(self, job: Job, report: JobStatus) -> JobStatus:
        """Release a held job a few times if that can help; give up this attempt if it cannot or did not."""
        settings = self._profile.scheduler
        if report.state is not JobState.HELD or job.phase is not JobState.HELD or report.remedy is Remedy.WAIT:
            return report
        if report.remedy is Remedy.FAIL:
            report = replace(report, retryable=False)
        elif report.remedy is Remedy.RELEASE and job.releases < settings.hold_releases:
            if self._clock.now() - job.state_since >= settings.hold_release_after:
                self._release(job, report)
            return report
        often = f"released {job.releases} times, " if job.releases else ""
        return self._give_up(job, report, f"{often}{report.reason}")

    def _release(self, job: Job, report: JobStatus) -> None:
        log.warning("releasing job %s (%s)", job.attempt_key, report.reason)
        with self._ledger.transaction() as tx:
            leases.check(tx, self._lease)
            # Counted before the release, so that a crash in between costs one release and causes no endless loop.
            jobs.released(tx, job, self._clock.now())
        hit("watcher.release")
        try:
            self._scheduler.release(job.attempt_key)
        except GwbatchError as error:
            log.warning("cannot release job %s: %s", job.attempt_key, error)

    def _overdue(self, job: Job, report: JobStatus) -> JobStatus:
        """Give up an attempt whose phase has passed its deadline; UNKNOWN is no phase and ends nothing."""
        resources = self._profile.resources(job.queue)
        limit = {
            JobState.QUEUED: resources.queue_deadline,
            JobState.RUNNING: resources.run_deadline,
            JobState.HELD: resources.held_deadline,
        }.get(report.state)
        if limit is None or report.state is not job.phase or self._clock.now() - job.state_since <= limit:
            return report
        reason = f"{report.state.lower()} for more than {limit:g} s" + (f" ({report.reason})" if report.reason else "")
        return self._give_up(job, report, reason)

    def _give_up(self, job: Job, report: JobStatus, reason: str) -> JobStatus:
        """Cancel this attempt; while that is not possible, its status stays as it is."""
        tries, next_try = self._given_up.get(job.attempt_key, (0, float("-inf")))
        if self._clock.steady() < next_try:
            return report
        log.error("job %s: %s; giving up this attempt", job.attempt_key, reason)
        try:
            self._scheduler.cancel(job.attempt_key)
        except GwbatchError as error:
            self._given_up[job.attempt_key] = (tries + 1, self._clock.steady() + backoff(tries + 1, first=1.0))
            log.warning("cannot cancel job %s yet: %s", job.attempt_key, error)
            return report
        self._given_up.pop(job.attempt_key, None)
        return replace(report, state=JobState.FAILED, reason=reason)


def apply_result(job: Job, report: JobStatus, now: float) -> tuple[JobStatus, dict[str, Any] | None]:
    """Trust the job's ``result.json`` over its exit status."""
    directory = Path(job.directory or "/nonexistent")
    result = read_result(directory, job.attempt_key)
    if result is None:
        reason = report.reason or "ended without a result.json"
        return replace(
            report, state=JobState.FAILED if report.state is JobState.DONE else report.state, reason=reason
        ), None
    wrong = fault(directory, result)
    if wrong is None:
        done = replace(report, state=JobState.DONE, reason="")
        details = {name: result[name] for name in ("host", "cores", "started", "finished") if name in result}
        return on_our_clock(replace(done, **details), job.created, now), result
    if not result.get("error"):
        result = {**result, "error": {"message": wrong, "retryable": True}}
    return replace(report, state=JobState.FAILED, reason=printable(wrong)), result


def on_our_clock(report: JobStatus, created: float, now: float) -> JobStatus:
    """Shift the times of a finished job that cannot be true, because its node's clock is wrong, by as little as needed.

    It started after it was created and ended before now (Unix s); how long it ran is known.
    """
    if report.started is None or report.finished is None:
        return report
    shift = min(max(0.0, created - report.started), now - report.finished)
    return replace(report, started=report.started + shift, finished=report.finished + shift)
