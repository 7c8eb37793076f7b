"""A bell that announces a task to a pilot inside a Slurm allocation."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from gwbatch.config.profile import SchedulerSettings
from gwbatch.jobs.standby.layout import Beat
from gwbatch.schedulers.environment import plain_environment
from gwbatch.schedulers.timeouts import last_line

# Runs on the node, without site packages.  It sends the task's name to the pilot and exits with 0 if the pilot took it.
_CLIENT = """
import socket, sys
bell = socket.socket(socket.AF_UNIX)
bell.settimeout(5)
bell.connect(sys.argv[1])
bell.sendall(sys.argv[2].encode() + b"\\n")
sys.exit(0 if bell.recv(100).startswith(b"taken") else 3)
"""
_ANSWERED = (0, 3)


class SrunBell:
    """A job step inside the pilot's own allocation, which announces the task."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._python = settings.python or "python3"

    def ring(self, pilot: Beat, name: str, seconds: float) -> str:
        command = [
            "srun", f"--jobid={pilot.batch_id}", "--overlap", "--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=0",
            f"--job-name={name}", "--input=none", "--quiet",
            self._python, "-I", "-S", "-c", _CLIENT, pilot.socket, name,
        ]  # fmt: skip
        try:
            process = subprocess.Popen(
                command, env=plain_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"srun cannot be started: {error}"
        with process:
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                return f"srun --overlap has not reached it within {seconds:.1f} s"
            return "" if code in _ANSWERED else f"srun --overlap failed with exit code {code}: {_complaint(process)}"


def _complaint(process: subprocess.Popen[bytes]) -> str:
    """Return what srun has complained of, without waiting for a process that it may have left behind."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    return last_line((process.stderr.read() or b"").decode(errors="replace"))
