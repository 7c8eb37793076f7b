"""Failpoints: named places where a test can make the process die.

``GWBATCH_KILL_AT=lane.superevent.before_commit:2`` kills the process (SIGKILL, so nothing is cleaned up) the second
time it reaches that failpoint. With ``@FILE`` appended, only the one process that creates FILE is killed. Without
the variable a failpoint costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_spec, _, _file = os.environ.get("GWBATCH_KILL_AT", "").partition("@")
_point, _, _count = _spec.partition(":")
_left = int(_count or 1)


def hit(point: str) -> None:
    """Kill the process here if this failpoint is enabled."""
    global _left
    if not _point or point != _point:
        return
    _left -= 1
    if _left == 0 and _first():
        os.kill(os.getpid(), signal.SIGKILL)


def _first() -> bool:
    if not _file:
        return True
    try:
        Path(_file).open("x").close()
    except FileExistsError:
        return False
    return True
