"""The one table of Slurm's job states and what they mean to gwbatch."""

from __future__ import annotations

from dataclasses import dataclass

from gwbatch.model import JobState, Remedy

_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "RESV_DEL_HOLD", "REQUEUE_HOLD", "SPECIAL_EXIT"}
_RUNNING = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING", "SUSPENDED", "STOPPED", "LAUNCH_FAILED"}
_ENDED = {
    "FAILED": "ended with a failure",
    "CANCELLED": "cancelled",
    "TIMEOUT": "reached its time limit",
    "DEADLINE": "reached its deadline",
    "OUT_OF_MEMORY": "ran out of memory",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node could not be booted",
    "PREEMPTED": "preempted by another job",
    "REVOKED": "taken over by another cluster",
}
_BY_A_PERSON = {"JobHeldUser", "JobHeldAdmin", "job requeued in held state", "job_requeued_in_held_state"}
_HELD = {*_BY_A_PERSON, "JobHoldMaxRequeue", "launch_failed_requeued_held", "launch failed requeued held"}


@dataclass(frozen=True)
class Row:
    """What slurmctld says about one job.

    Attributes
    ----------
    state : str
        As Slurm writes it (``CANCELLED by 0``).
    comment : str
        Carries the job key.
    directory : str
        Its working directory, which is the job directory.
    exit_code, signal : int or None
        Only for an ended job; squeue does not report them.
    """

    native_id: str
    state: str
    reason: str = ""
    cores: int | None = None
    nodes: str = ""
    comment: str = ""
    exit_code: int | None = None
    signal: int | None = None
    directory: str = ""

    @property
    def word(self) -> str:
        """The state without any addition (``CANCELLED``)."""
        return self.state.split()[0].rstrip("+") if self.state else ""


def interpret(row: Row) -> tuple[JobState, str, Remedy]:
    """Return the state, the reason in words, and the remedy if the job is held."""
    word = row.word
    why = "" if row.reason in ("", "None") else row.reason
    if word in _WAITING:
        if why in _HELD or word in ("REQUEUE_HOLD", "SPECIAL_EXIT"):
            remedy = Remedy.WAIT if why in _BY_A_PERSON else Remedy.RELEASE
            return JobState.HELD, f"held: {why or word}", remedy
        return JobState.QUEUED, why, Remedy.WAIT
    if word in _RUNNING:
        return JobState.RUNNING, "" if word in ("RUNNING", "COMPLETING") else word.lower(), Remedy.WAIT
    if word == "COMPLETED":
        return JobState.DONE, "", Remedy.WAIT
    if word in _ENDED:
        return JobState.FAILED, _ending(word, row, why), Remedy.WAIT
    return JobState.UNKNOWN, f"unrecognized Slurm state {row.state!r}", Remedy.WAIT


def _ending(word: str, row: Row, why: str) -> str:
    if word == "FAILED" and row.signal:
        return f"killed by signal {row.signal}"
    if word == "FAILED" and row.exit_code:
        return f"exit code {row.exit_code}"
    details = f" ({why})" if why and why not in ("NonZeroExitCode", "TimeLimit", "OutOfMemory", "NodeDown") else ""
    return _ENDED[word] + details
