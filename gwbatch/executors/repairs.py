"""What an operator orders of one job or one dead letter, from the command line or the console."""

from __future__ import annotations

from collections.abc import Callable

from gwbatch.effects.kinds import CancelJob, ReleaseJob
from gwbatch.errors import ConfigError
from gwbatch.executors.registry import retry_dead
from gwbatch.ledger import Ledger, decisions, effects, in_force, jobs, messages
from gwbatch.ledger.database import Transaction
from gwbatch.ledger.jobs import Job
from gwbatch.model import Decision
from gwbatch.plugins import import_plugins

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
        effects.ask_for(tx, ReleaseJob(job.key, job.attempt, now), now)
    return "Handed over to the dispatcher."


def cancel_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Take a job back from the batch system; it is not tried again.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        job = _job(tx, key, "cancel", why, now)
        effects.ask_for(tx, CancelJob(job.key, job.attempt, now), now)
    return "Handed over to the dispatcher."


def retry_job(ledger: Ledger, key: str, why: str, now: float) -> str:
    """Hand a job that failed, or was cancelled, to the batch system once more.  Otherwise like `release_job`."""
    with ledger.transaction() as tx:
        jobs.try_again(tx, _job(tx, key, "retry", why, now), now)
    return "Handed over to the dispatcher."


def retry_dead_letter(ledger: Ledger, name: str, why: str, now: float) -> str:
    """Hand a message (``m17``) or effect (``e5``) that was given up over again.

    Raises
    ------
    ConfigError
        If there is none.
    """
    kind, number = dead_letter(name)
    _import_plugins(ledger)
    with ledger.transaction() as tx:
        if kind == "m":
            count = messages.retry_dead(tx, number)
        else:
            row = tx.execute("SELECT key FROM effects WHERE id = ?", (number,)).fetchone()
            count = retry_dead(tx, row["key"]) if row else 0
        if not count:
            raise no_dead_letter(name)
        decisions.record(tx, Decision("retry", None, {"dead_letter": name}, why), now, None)
    return "1 handed over."


def retry_all_dead_letters(ledger: Ledger) -> int:
    """Hand everything over again that was given up; returns how much that is."""
    _import_plugins(ledger)
    with ledger.transaction() as tx:
        return messages.retry_dead(tx) + retry_dead(tx)


REPAIRS: dict[str, tuple[str, Repair]] = {
    "release-job": ("job", release_job),
    "cancel-job": ("job", cancel_job),
    "retry-job": ("job", retry_job),
    "retry-dead-letter": ("letter", retry_dead_letter),
}
"""Every such order by its name, with the field that says of what."""


def dead_letter(name: str) -> tuple[str, int]:
    """Return kind (``m`` or ``e``) and number of a dead letter by its name.

    Raises
    ------
    ConfigError
        If none can have this name.
    """
    kind, number = name[:1], name[1:]
    if kind not in ("m", "e") or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise no_dead_letter(name)
    return kind, int(number)


def no_dead_letter(name: str) -> ConfigError:
    """Say that there is no such dead letter."""
    return ConfigError(f"There is no dead letter {name!r}; see 'gwbatch deadletter list'.")


def _import_plugins(ledger: Ledger) -> None:
    """What follows from a retry is up to the executors of the effects, plug-ins' among them."""
    profile = in_force.recorded_profile(ledger)
    if profile is not None:
        import_plugins(profile.plugins, profile.plugin_folders)


def _job(tx: Transaction, key: str, what: str, why: str, now: float) -> Job:
    job = jobs.get(tx, key)
    if job is None:
        raise ConfigError(f"There is no job {key!r}; see 'gwbatch jobs list'.")
    if what not in jobs.orders(job.state):
        states = " or ".join(jobs.ORDERS[what])
        raise ConfigError(f"Cannot {what} the job {key}: it is {job.state}, and would have to be {states}.")
    decisions.record(tx, Decision(f"job_{what}", None, {"job": key, "attempt": job.attempt}, why), now, None)
    return job
