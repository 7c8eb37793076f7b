"""Marked points where a test may have the process killed.

``GWBATCH_KILL_AT=lane.superevent.before_commit:2`` kills the process (SIGKILL, nothing is cleaned up) the
second time it comes by that mark; with ``@FILE`` behind it only one process ever is, the one that makes FILE.
Without the variable a mark costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

_spec, _, _file = os.environ.get("GWBATCH_KILL_AT", "").partition("@")
_point, _, _count = _spec.partition(":")
_left = int(_count or 1)


def mark(point: str) -> None:
    """Come by `point`; be killed here if the environment asks for it."""
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
