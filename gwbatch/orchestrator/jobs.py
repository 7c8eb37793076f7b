"""Job functions that the handlers share: plan a job, take over its result, try it again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gwbatch import effects
from gwbatch.annotation import Product, product_named
from gwbatch.effects import Effect
from gwbatch.effects.kinds import Upload
from gwbatch.errors import BadInput
from gwbatch.handlers.context import Context
from gwbatch.handlers.messages import JobEnded
from gwbatch.jobs.catalogue import queue_of
from gwbatch.keys import creation_of
from gwbatch.ledger import jobs
from gwbatch.mirror.products import StoredProduct
from gwbatch.model import JobState

log = logging.getLogger(__name__)


def plan(
    product: Product,
    subject: str,
    version: str,
    sources: Mapping[str, Any],
    priority: int,
    context: Context,
    filename: str = "",
    **parameters: Any,
) -> Iterator[Effect]:
    """Plan the job that makes a product, once for each version of its inputs.

    Parameters
    ----------
    product : Product
        The product as the policy chooses it, made from the files that exist.
    filename : str
        Its name in GraceDB, if that is not the product's own.
    """
    key = job_key(product, subject, version)
    request = {
        "inputs": dict(sources),
        "outputs": [product.name],
        "parameters": {**context.policy.annotation.parameters.get(product.job, {}), **parameters},
        "product": product.name,
        "version": version,
        **({"filename": filename} if filename and filename != product.name else {}),
    }
    effect = jobs.plan(context.tx, key, product.job, queue_of(product.job), subject, request, priority, context.now)
    if effect is not None:
        yield effect


def job_key(product: Product, subject: str, version: str) -> str:
    """Return the key of the job that makes a product from one version of its inputs."""
    return f"{subject}/{product.key_part}" if version == "0" else f"{subject}/{product.key_part}/{version}"


def product_of(job: jobs.Job) -> Product:
    """Return the declaration of the product that a job makes from its inputs."""
    declared = product_named(job.request["product"])
    return declared.made_from(job.request["inputs"]) or declared


def made(job: jobs.Job) -> StoredProduct:
    """Return the product of a finished job, in its stored form."""
    name, facts = job.request["product"], (job.result or {}).get("facts", {})
    renamed = {"filename": job.request["filename"]} if "filename" in job.request else {}
    path = str(Path(job.directory or "") / name)
    return StoredProduct(job.subject, name, job.request["version"], path, {**facts, **renamed})


def upload(made: StoredProduct) -> Upload:
    """Return the effect that uploads the product of a job."""
    assert made.path is not None
    product = product_named(made.name)
    return effects.upload(
        made.subject, made.facts.get("filename", made.name), made.path, comment=comment(product, made.facts),
        tags=product.tags, version=made.version, after=creation_of(made.subject),
    )  # fmt: skip


def ended(message: JobEnded, context: Context) -> jobs.Job | None:
    """Return the job whose end a message reports; None if it was tried again meanwhile."""
    job = jobs.get(context.tx, message.job)
    if job is None:
        raise BadInput(f"Cannot process the end of job {message.job!r}: the ledger does not know it.")
    return job if message.attempt == job.attempt else None


def try_again(job: jobs.Job, context: Context) -> bool:
    """Try a failed job again if that can help, and return whether it was tried again."""
    error = (job.result or {}).get("error") or {}
    if error.get("retryable", True) and job.attempt < context.policy.annotation.max_attempts:
        log.warning("job %s failed (%s), trying again", job.attempt_key, job.reason)
        jobs.try_again(context.tx, job, context.now)
        return True
    log.error("job %s failed permanently: %s", job.key, job.reason)
    return False


def comment(product: Product, facts: Mapping[str, Any]) -> str:
    """Return the log message of a product: what it is, what it shows (``alt``), and a remark (``note``)."""
    shown = f"{product.comment}: {facts['alt']}" if facts.get("alt") else product.comment
    return f"{shown} ({facts['note']})" if facts.get("note") else shown


def failed(job: jobs.Job) -> bool:
    """Return whether a job ended without a result."""
    return job.state in (JobState.FAILED, JobState.LOST)


def say_failed(job: jobs.Job, target: str) -> Effect:
    """Return the effect that logs in GraceDB that a job failed permanently."""
    text = f"{job.kind} failed after {job.attempt} attempt(s): {job.reason}"
    return effects.log(target, text, key=job.key, tags=("gwbatch",))
