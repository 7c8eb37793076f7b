"""Cost of a command, measured from outside: CPU time, wall time and peak memory of one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """CPU (user and system) and wall time in s, peak memory in MB."""

    cpu: float
    wall: float
    memory: float


def cost(arguments: Sequence[str]) -> Cost:
    """Run Python with these arguments to its end, and return the cost.

    Raises
    ------
    SystemExit
        If it fails.
    """
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {said[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)


def least_cost(arguments: Sequence[str], runs: int = 3) -> Cost:
    """Run it several times and return the run with the least CPU time, which other work disturbed least."""
    return min((cost(arguments) for _ in range(runs)), key=lambda one: one.cpu)
