"""The meaning of Grid Engine's state letters and accounting records."""

from __future__ import annotations

import signal

from gwbatch.model import JobState, Remedy

BEING_SENT = "being sent to its node"

# Values of "failed" in an accounting record:
RESCHEDULED = 25  # the run was put back into the queue
AFTER_THE_JOB = 100  # the job died of a signal


def interpret(letters: str) -> tuple[JobState, str, Remedy]:
    """Return the state, the reason and the remedy of a job from its letters in qstat (``hqw``, ``Eqw``)."""
    if "E" in letters:
        return JobState.HELD, "held: in error state", Remedy.RELEASE
    if "d" in letters:
        return JobState.RUNNING, "being deleted", Remedy.WAIT
    if set(letters) & set("sST"):
        return JobState.RUNNING, "suspended", Remedy.WAIT
    if "r" in letters:
        return JobState.RUNNING, "", Remedy.WAIT
    if "h" in letters:
        return JobState.HELD, "held: by a person, or for another job", Remedy.WAIT
    if "t" in letters:
        return JobState.QUEUED, BEING_SENT, Remedy.WAIT
    if "q" in letters:
        return JobState.QUEUED, "rescheduled" if "R" in letters else "", Remedy.WAIT
    return JobState.UNKNOWN, f"unrecognized Grid Engine state {letters!r}", Remedy.WAIT


def ending(failed: int, explanation: str, exit_status: int) -> tuple[JobState, str, int]:
    """Return how a job ended according to its accounting: state, reason and exit code (negative for a signal)."""
    if failed and exit_status > 128:
        why = "" if failed == AFTER_THE_JOB else f" ({explanation})"
        return JobState.FAILED, f"killed by {_signal(exit_status - 128)}{why}", 128 - exit_status
    if failed:
        return JobState.FAILED, f"failed: {explanation or failed}", exit_status
    if exit_status:
        return JobState.FAILED, f"exit code {exit_status}", exit_status
    return JobState.DONE, "", 0


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
