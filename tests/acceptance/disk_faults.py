"""A full or slow disk, as one running process and its new children see it; made by strace."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

# SQLite writes with pwrite64; no socket or pipe is written with it. A question mark: not every architecture has it.
FULL = "pwrite64,?mkdir,mkdirat,?rename,?renameat,renameat2,?link,linkat"
SLOW = "fsync,fdatasync"
SLOW_BY = 300_000  # µs for each sync


@functools.cache
def can_inject() -> bool:
    """Return whether strace is there and may trace processes that it has not started."""
    if shutil.which("strace") is None:
        return False
    with subprocess.Popen(["sleep", "0.3"]) as other:
        command = ["strace", "-o", os.devnull, "-p", str(other.pid)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def full(pid: int, seconds: float) -> bool:
    """Let the process find the disk full for a while; return whether it tried to write."""
    return _inject(pid, FULL, "error=ENOSPC", seconds)


def slow(pid: int, seconds: float) -> bool:
    """Let each sync of the process take long for a while; return whether there was one."""
    return _inject(pid, SLOW, f"delay_exit={SLOW_BY}", seconds)


def _inject(pid: int, calls: str, what: str, seconds: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "strace"
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]
        strace = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        strace.terminate()  # it lets go of the process
        strace.wait()
        text = log.read_text() if log.exists() else ""
        return "(INJECTED)" in text or "(DELAYED)" in text
