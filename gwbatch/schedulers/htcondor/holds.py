"""The one table of remedies for held jobs, by HTCondor's hold reason code."""

from __future__ import annotations

from gwbatch.model import Remedy

# A person holds the job, or it is not ready yet.  Releasing it before the deadline is up to that person.
_WAIT = {1, 15, 16}  # UserRequest, SubmittedOnHold, SpoolingInput
# The site's or the job's own policy, or our own folder.  The job would be held again, but another attempt may succeed.
_GIVE_UP = {
    3,  # JobPolicy
    5,  # JobPolicyUndefined
    7,  # UnableToOpenOutput
    8,  # UnableToOpenInput
    14,  # IwdError
    17,  # JobShadowMismatch
    26,  # SystemPolicy
    27,  # SystemPolicyUndefined
}
# The job would fail in the same way on any node.
_HOPELESS = {
    34,  # more memory used than was asked for
    46,  # JobExecutionTimeExceeded
}


def remedy(code: int | None) -> Remedy:
    """Return the remedy for a hold reason code; by default, release the job (a bad node, an interrupted transfer)."""
    if code in _WAIT:
        return Remedy.WAIT
    if code in _HOPELESS:
        return Remedy.FAIL
    return Remedy.GIVE_UP if code in _GIVE_UP else Remedy.RELEASE
