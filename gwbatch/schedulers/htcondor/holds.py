"""What to do about a held job, by HTCondor's hold reason code: the one place."""

from __future__ import annotations

from gwbatch.model import Remedy

# A person holds the job back, or it is not ready: it is theirs to release, until the deadline.
_WAIT = {1, 15, 16}  # UserRequest, SubmittedOnHold, SpoolingInput
# The site's or the job's own policy, or our own folder: releasing would come to the same, another attempt may not.
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
# The same job will come to the same end on any node.
_HOPELESS = {
    34,  # more memory used than was asked for
    46,  # JobExecutionTimeExceeded
}


def remedy(code: int | None) -> Remedy:
    """Release what may go better the next time (a bad node, a transfer cut off), give up what will not."""
    if code in _WAIT:
        return Remedy.WAIT
    if code in _HOPELESS:
        return Remedy.FAIL
    return Remedy.GIVE_UP if code in _GIVE_UP else Remedy.RELEASE
