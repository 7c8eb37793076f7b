"""Helpers that wait for a condition and run commands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from gwbatch.config.profile import Profile
from gwbatch.schedulers.backend import backend_of
from gwbatch.schedulers.pool import Pool


def until(done: Callable[[], Any], seconds: float = 60.0, words: Callable[[], Any] = lambda: "not in time") -> Any:
    """Wait until `done` returns something true, and return it; the time is generous, as the machine may be busy."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, words()
        time.sleep(0.1)
    return found


def gwbatch(*arguments: str, code: int = 0) -> str:
    """Run a command, which must exit with `code`, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "gwbatch", *arguments], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def nodes(profile: Profile) -> Pool:
    """Return the whole nodes that the batch system tells of."""
    found = backend_of(profile).pool(profile)
    assert found is not None
    return found
