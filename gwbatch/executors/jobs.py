"""Executors of effects on jobs: submission, release and cancellation of an attempt, and the end of a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gwbatch.effects.kinds import CancelJob, ReleaseJob, SubmitJob
from gwbatch.executors.inputs import fetch
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.handlers.messages import JobEnded
from gwbatch.jobs.result import NAME, read_result
from gwbatch.jobs.spec import REQUEST, write_request
from gwbatch.ledger import Transaction, jobs
from gwbatch.ledger.messages import send_message
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.private import private_folder
from gwbatch.runtime import Runtime


def _submission_failed(tx: Transaction, claim: Claim[SubmitJob], reason: str, runtime: Runtime) -> None:
    """Record that a job has failed because it could not be submitted."""
    job = jobs.get(tx, claim.effect.job)
    if job is not None and job.attempt == claim.effect.attempt:
        result = {"error": {"message": reason, "retryable": False}}
        seen = JobStatus(job.attempt_key, JobState.FAILED, reason=reason)
        end_job(tx, job, seen, result, runtime.clock.now())


def _wait_again(tx: Transaction, effect: SubmitJob) -> None:
    """Let the job wait again, unless a later attempt has followed the one whose submission failed."""
    jobs.wait_again(tx, effect.job, effect.attempt)


@executor(SubmitJob, on_dead=_submission_failed, on_retry=_wait_again)
def submit(claim: Claim[SubmitJob], runtime: Runtime) -> EffectResult:
    """Submit an attempt, unless the batch system has it already."""
    job = jobs.get(runtime.ledger.connection, claim.effect.job)
    if job is None or job.attempt != claim.effect.attempt or job.state is not JobState.WAITING:
        return EffectResult.skipped("no longer waiting")
    scheduler = runtime.scheduler()
    directory = runtime.profile.job_folder(runtime.state) / Path(*job.attempt_key.split("/"))
    known = scheduler.find([job.attempt_key]) if claim.repeated else {}
    if job.attempt_key in known:
        native_id = known[job.attempt_key].native_id
    elif claim.repeated and read_result(directory, job.attempt_key) is not None:
        native_id = ""  # it ended and the scheduler has forgotten it; the watcher will find the result
    else:
        request = _prepare(job, directory, claim.attempts, runtime)
        hit("job.prepared")
        native_id = scheduler.submit(request)
    hit("job.submitted")
    current = jobs.get(runtime.ledger.connection, job.key)
    if current is None or current.attempt != job.attempt or current.state is JobState.CANCELLED:
        scheduler.cancel(job.attempt_key)  # somebody cancelled it while it was being submitted
    return EffectResult(
        {"native_id": native_id},
        lambda tx: jobs.submitted(tx, job, scheduler.name, native_id, str(directory), runtime.clock.now()),
    )


@executor(ReleaseJob)
def release(claim: Claim[ReleaseJob], runtime: Runtime) -> EffectResult:
    """Release a held attempt."""
    job = _job_of(claim.effect, runtime)
    if job is None or job.state is not JobState.HELD:
        return EffectResult.skipped("no longer held")
    runtime.scheduler().release(job.attempt_key)
    return EffectResult({"released": job.attempt_key}, lambda tx: jobs.released(tx, job, runtime.clock.now()))


@executor(CancelJob)
def cancel(claim: Claim[CancelJob], runtime: Runtime) -> EffectResult:
    """Cancel an attempt that has not ended."""
    job = _job_of(claim.effect, runtime)
    if job is None or job.state.final:
        return EffectResult.skipped("already ended")
    runtime.scheduler().cancel(job.attempt_key)
    seen = JobStatus(job.attempt_key, JobState.CANCELLED, reason="cancelled by an operator")

    def end(tx: Transaction) -> None:
        current = jobs.get(tx, job.key)
        if current is not None and current.attempt == job.attempt and not current.state.final:
            end_job(tx, job, seen, None, runtime.clock.now())

    return EffectResult({"cancelled": job.attempt_key}, end)


def _job_of(effect: ReleaseJob | CancelJob, runtime: Runtime) -> jobs.Job | None:
    job = jobs.get(runtime.ledger.connection, effect.job)
    return job if job is not None and job.attempt == effect.attempt else None


def _prepare(job: jobs.Job, directory: Path, tries: int, runtime: Runtime) -> JobRequest:
    """Create the job directory with the inputs and ``job.json``, and return the request for the scheduler."""
    private_folder(directory)
    for name, source in job.request["inputs"].items():
        fetch(source, directory / name, job.created, tries, runtime)
    (output,) = job.request["outputs"]
    inputs, profile = tuple(job.request["inputs"]), runtime.profile
    write_request(directory, job.attempt_key, job.kind, inputs, output, job.request["parameters"], profile)
    return JobRequest(
        job.attempt_key, job.kind, job.queue, directory, (REQUEST, *inputs), (output, NAME),
        profile.resources(job.queue), job.priority, job.avoid,
    )  # fmt: skip


def end_job(
    tx: Transaction,
    job: jobs.Job,
    seen: JobStatus,
    result: Mapping[str, Any] | None,
    now: float,
) -> None:
    """Record that a job has ended and send the message about it, unless it was cancelled or retried in the meantime."""
    if not jobs.report(tx, job, seen, result, now):
        return
    send_message(tx, JobEnded(job.key, job.attempt, str(seen.state)), now)
