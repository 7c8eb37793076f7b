"""The supervisor, which starts each listener as a child process, restarts it when it dies or hangs, and stops it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from gwbatch import children
from gwbatch.clock import Clock
from gwbatch.errors import backoff
from gwbatch.ledger import Ledger, offsets

log = logging.getLogger(__name__)

HEALTHY_AFTER = 60.0  # s of running after which earlier failures are forgotten
SILENT_AFTER = 30.0  # s without a poll after which a listener counts as hung
LOG_BYTES = 5 * 2**20


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


class Supervisor:
    """Keeps the listeners running.

    Parameters
    ----------
    commands : dict
        Command line of each listener by name.
    logs : Path
        Folder for their standard error.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], ledger: Ledger, logs: Path, clock: Clock) -> None:
        self._children = [_Child(name, command) for name, command in commands.items()]
        self._ledger = ledger
        self._logs = logs
        self._clock = clock
        logs.mkdir(parents=True, exist_ok=True)

    def step(self) -> None:
        """Check every child once, and start or restart it if needed."""
        for child in self._children:
            if child.process is None:
                if self._clock.steady() >= child.not_before:
                    try:
                        self._start(child)
                    except OSError as error:
                        self._ended(child, f"could not be started: {error}")
            elif child.process.poll() is not None:
                self._ended(child, f"ended with code {child.process.returncode}")
            elif self._silent(child):
                child.process.kill()
                child.process.wait()
                self._ended(child, f"had not polled for {SILENT_AFTER:g} s and was killed")

    def stop(self, patience: float = 5.0) -> None:
        """Terminate the children, and kill those that still run after `patience` seconds each."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, child: _Child) -> None:
        path = self._logs / f"listener-{child.name}.log"
        rotate(path)
        with path.open("ab") as stderr:
            child.process = subprocess.Popen(
                [*child.command],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=children.environment({"GWBATCH_SUPERVISOR": str(os.getpid())}),
            )
        child.started = self._clock.steady()
        log.info("listener %s started with pid %d", child.name, child.process.pid)

    def _ended(self, child: _Child, how: str) -> None:
        now = self._clock.steady()
        child.failures = 1 if now - child.started > HEALTHY_AFTER else child.failures + 1
        wait = backoff(child.failures, first=1.0)
        child.process, child.not_before = None, now + wait
        log.error("listener %s %s; restarting it in %.1f s (see its log)", child.name, how, wait)
        with self._ledger.transaction() as tx:
            offsets.count_restart(tx, child.name, self._clock.now())

    def _silent(self, child: _Child) -> bool:
        silence = self._clock.now() - (offsets.last_poll(self._ledger.connection, child.name) or 0.0)
        return min(silence, self._clock.steady() - child.started) > SILENT_AFTER


def rotate(path: Path) -> None:
    """Rotate a log that exceeds 5 MiB, and keep three old ones."""
    if path.exists() and path.stat().st_size > LOG_BYTES:
        handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=3, delay=True)
        handler.doRollover()
        handler.close()
