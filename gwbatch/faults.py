"""Marked points where a test may have the process killed.

``GWBATCH_KILL_AT=lane.before_commit:2`` kills the process (SIGKILL, nothing is cleaned up) the second time
it comes by the mark ``lane.before_commit``.  Without the variable a mark costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

_spec = os.environ.get("GWBATCH_KILL_AT", "")
_point, _, _count = _spec.partition(":")
_left = int(_count or 1) if _point else 0


def mark(point: str) -> None:
    """Come by `point`; be killed here if the environment asks for it."""
    global _left
    if not _point or point != _point:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
