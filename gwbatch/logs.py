"""Handling of log messages that cannot be written."""

from __future__ import annotations

import logging
import sys
import time

EVERY = 60.0  # s between two reports

_said = float("-inf")


def quiet_failures() -> None:
    """Make every log handler of this process report a failed write in one line."""
    setattr(logging.Handler, "handleError", _say_once)  # noqa: B010


def _say_once(handler: logging.Handler, _record: logging.LogRecord) -> None:
    """Report in one line, at most once a minute, that a log cannot be written; a full disk needs no tracebacks."""
    global _said
    now = time.monotonic()
    if now - _said < EVERY:
        return
    _said = now
    error = sys.exc_info()[1]
    where = getattr(handler, "baseFilename", type(handler).__name__)
    try:
        sys.stderr.write(
            f"gwbatch: cannot write the log {where}: {error}. Messages are lost until it can be written again.\n"
        )
    except OSError:
        pass
