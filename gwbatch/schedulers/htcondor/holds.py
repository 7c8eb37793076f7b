"""What to do about a held job, by HTCondor's hold reason code: the one place."""

from __future__ import annotations

from gwbatch.model import Remedy

# A person or the site's policy holds the job back: it is theirs to release, until the deadline.
_WAIT = {1, 15, 16}  # UserRequest, SubmittedOnHold, SpoolingInput
# What will not be better when the same job is tried again on the pool as it is.
_GIVE_UP = {
    2,  # GlobusGramError
    7,  # UnableToOpenOutput: our own folder
    8,  # UnableToOpenInput
    14,  # IwdError: our own folder
    17,  # JobShadowMismatch
    34,  # MemoryUsage above what was asked for
    46,  # JobExecutionTimeExceeded
}


def remedy(code: int | None) -> Remedy:
    """Release what may go better the next time (a bad node, a transfer cut off), give up what will not."""
    if code in _WAIT:
        return Remedy.WAIT
    return Remedy.GIVE_UP if code in _GIVE_UP else Remedy.RELEASE
