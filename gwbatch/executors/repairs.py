"""Operator commands for jobs and dead letters, given on the command line or in the console."""

from __future__ import annotations

from collections.abc import Callable

from gwbatch.effects.kinds import CancelJob, ReleaseJob
from gwbatch.errors import ConfigError
from gwbatch.executors.registry import retry_dead
from gwbatch.ledger import Ledger, dead_letters, decisions, effects, in_force, jobs, messages
from gwbatch.ledger.database import Transaction
from gwbatch.ledger.jobs import Job
from gwbatch.model import Action, Decision

Repair = Callable[[Ledger, str, str, float], str]


def release_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Release a held job.

    Parameters
    ----------
    why : str
        Who ordered it and why, as recorded in the ledger.

    Returns
    -------
    str
        What will happen, as a sentence.

    Raises
    ------
    ConfigError
        If there is no such job, or its state does not allow it.
    """
    with ledger.transaction() as tx:
        job = _job(tx, key, "release", why, now)
        effects.request(tx, ReleaseJob(job.key, job.attempt, now), now)
    return "Queued for the dispatcher."


def cancel_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Cancel a job; it is not retried automatically.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        job = _job(tx, key, "cancel", why, now)
        effects.request(tx, CancelJob(job.key, job.attempt, now), now)
    return "Queued for the dispatcher."


def retry_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Submit a failed, lost or cancelled job again.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        jobs.try_again(tx, _job(tx, key, "retry", why, now), now)
    return "Queued for the dispatcher."


def retry_dead_letter(ledger: Ledger, name: str, why: str, now: float) -> str:
    """Requeue one dead message (``m17``) or dead effect (``e5``).

    Raises
    ------
    ConfigError
        If no dead letter has this name.
    """
    kind, number = dead_letters.parse(name)
    in_force.import_recorded_plugins(ledger)  # their executors may have to act on a retry, too
    with ledger.transaction() as tx:
        if kind == "m":
            count = messages.retry_dead(tx, number)
        else:
            key = effects.key_of(tx, number)
            count = 0 if key is None else retry_dead(tx, key)
        if not count:
            raise dead_letters.no_such(name)
        decisions.record(tx, Decision(Action.RETRY, None, {"dead_letter": name}, why), now, None)
    return "1 queued."


def retry_all_dead_letters(ledger: Ledger) -> int:
    """Requeue all dead messages and effects, and return how many."""
    in_force.import_recorded_plugins(ledger)  # their executors may have to act on a retry, too
    with ledger.transaction() as tx:
        return messages.retry_dead(tx) + retry_dead(tx)


REPAIRS: dict[str, tuple[str, Repair]] = {
    "release-job": ("job", release_job),
    "cancel-job": ("job", cancel_job),
    "retry-job": ("job", retry_job),
    "retry-dead-letter": ("letter", retry_dead_letter),
}
"""Every repair by name, with the field of the console's order that names its object."""


def _job(tx: Transaction, key: str, what: str, why: str, now: float) -> Job:
    job = jobs.get(tx, key)
    if job is None:
        raise ConfigError(f"There is no job {key!r}; see 'gwbatch jobs list'.")
    if what not in jobs.orders(job.state):
        states = " or ".join(jobs.ORDERS[what])
        raise ConfigError(f"Cannot {what} the job {key}: it is {job.state}, but must be {states}.")
    decisions.record(tx, Decision(Action(f"job_{what}"), None, {"job": key, "attempt": job.attempt}, why), now, None)
    return job
