"""What an operator orders of one job or one dead letter, from the command line or the console."""

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
    """Let a held job go on.

    Parameters
    ----------
    why : str
        Who ordered it, and the reason, as it is written down.

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
    """Take a job back from the batch system; it is not tried again.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        job = _job(tx, key, "cancel", why, now)
        effects.request(tx, CancelJob(job.key, job.attempt, now), now)
    return "Queued for the dispatcher."


def retry_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Hand a job that failed, or was cancelled, to the batch system once more.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        jobs.try_again(tx, _job(tx, key, "retry", why, now), now)
    return "Queued for the dispatcher."


def retry_dead_letter(ledger: Ledger, name: str, why: str, now: float) -> str:
    """Hand a message (``m17``) or effect (``e5``) that was given up over again.

    Raises
    ------
    ConfigError
        When no dead letter has this name.
    """
    kind, number = dead_letters.parse(name)
    in_force.import_recorded_plugins(ledger)  # what follows from a retry is up to their executors, too
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
    """Hand everything over again that was given up; returns how much that is."""
    in_force.import_recorded_plugins(ledger)  # what follows from a retry is up to their executors, too
    with ledger.transaction() as tx:
        return messages.retry_dead(tx) + retry_dead(tx)


REPAIRS: dict[str, tuple[str, Repair]] = {
    "release-job": ("job", release_job),
    "cancel-job": ("job", cancel_job),
    "retry-job": ("job", retry_job),
    "retry-dead-letter": ("letter", retry_dead_letter),
}
"""Every such order by its name, with the field that says of what."""


def _job(tx: Transaction, key: str, what: str, why: str, now: float) -> Job:
    job = jobs.get(tx, key)
    if job is None:
        raise ConfigError(f"There is no job {key!r}; see 'gwbatch jobs list'.")
    if what not in jobs.orders(job.state):
        states = " or ".join(jobs.ORDERS[what])
        raise ConfigError(f"Cannot {what} the job {key}: it is {job.state}, and would have to be {states}.")
    decisions.record(tx, Decision(Action(f"job_{what}"), None, {"job": key, "attempt": job.attempt}, why), now, None)
    return job
