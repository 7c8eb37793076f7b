"""Access to slurmctld through pyslurm, in a process of its own.

pyslurm blocks the interpreter while it waits for slurmctld, and takes the interpreter with it when it crashes.  Neither
must happen to the dispatcher.  Submissions still go through sbatch, because pyslurm cannot request all memory of a
node: it ignores ``--mem=0``.
"""

from __future__ import annotations

import json
import re
import selectors
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from gwbatch import children
from gwbatch.errors import ConfigError
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.slurm.controller import CommandController
from gwbatch.schedulers.slurm.states import Row

STARTING = 30.0  # s that Python and pyslurm may take to load on a busy machine; a query does not wait that long for it

_KNOWS_NOT = re.compile(r"invalid job id", re.IGNORECASE)


class PyslurmController:
    """Queries and actions through pyslurm of the cluster's own release; everything else through the commands.

    Raises
    ------
    ConfigError
        When there is no pyslurm, or it belongs to another release of Slurm.
    """

    def __init__(self, commands: CommandController, seconds: float) -> None:
        self._commands = commands
        self._seconds = seconds
        self._lock = threading.Lock()
        self._helper: Popen[str] | None = None
        self._started = 0.0
        self._ready = False
        ours, theirs = _release(self._version()), _release(commands.version())
        if ours != theirs:
            raise ConfigError(f"pyslurm {ours} does not match Slurm {theirs}")

    def submit(self, script: str, environment: Mapping[str, str]) -> str:
        return self._commands.submit(script, environment)

    def jobs(self) -> list[Row]:
        return [Row(**row) for row in self._ask("jobs")]

    def job(self, native_id: str) -> Row | None:
        try:
            return Row(**self._ask("job", native_id))
        except _Unknown:
            return self._commands.job(native_id)

    def cancel(self, native_id: str) -> None:
        self._act("cancel", native_id)

    def release(self, native_id: str) -> None:
        self._act("release", native_id)

    def tell(self, *command: str) -> None:
        self._commands.tell(*command)

    def _version(self) -> str:
        try:
            with self._lock:
                return self._start(STARTING)
        except SchedulerBusy as error:
            raise ConfigError(f"pyslurm cannot be used ({error})") from error

    def _act(self, what: str, native_id: str) -> None:
        try:
            self._ask(what, native_id)
        except _Unknown:
            pass  # it has ended

    def _ask(self, what: str, argument: str = "") -> Any:
        """Send the helper one request; kill it if it does not answer, so that the next request starts another."""
        with self._lock:
            if self._helper is None or self._helper.poll() is not None or not self._ready:
                self._start(self._seconds)
            assert self._helper is not None
            assert self._helper.stdin is not None
            try:
                self._helper.stdin.write(json.dumps([what, argument]) + "\n")
                self._helper.stdin.flush()
            except OSError as error:
                self._end()
                raise SchedulerBusy(f"the pyslurm process has ended: {error}.") from error
            line = self._line(self._seconds)
            if not line:
                self._end()
                words = f"did not answer within {self._seconds:g} s" if line is None else "ended without an answer"
                raise SchedulerBusy(f"slurmctld, asked through pyslurm, {words}.")
        return _answer(line)

    def _start(self, seconds: float) -> str:
        """Start the helper, or keep waiting for one that is starting; return pyslurm's release."""
        if self._helper is None or self._helper.poll() is not None:
            command = children.python("gwbatch.schedulers.slurm.pyslurm_process", *_folder_of_pyslurm())
            self._helper = Popen(
                command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True, start_new_session=True,
                env=children.environment(),
            )  # fmt: skip
            self._started, self._ready = time.monotonic(), False
        line = self._line(seconds)
        if line is None and time.monotonic() - self._started < STARTING:
            raise SchedulerBusy("pyslurm is still starting.")
        try:
            if not line:
                raise SchedulerBusy("pyslurm did not start.")
            release = str(_answer(line))
        except SchedulerBusy:
            self._end()
            raise
        self._ready = True
        return release

    def _line(self, seconds: float) -> str | None:
        """Return the helper's next line; None if there is none in time, empty if the helper has ended."""
        assert self._helper is not None
        assert self._helper.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._helper.stdout, selectors.EVENT_READ)
            return self._helper.stdout.readline() if selector.select(seconds) else None

    def _end(self) -> None:
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            self._helper = None


def _answer(line: str) -> Any:
    reply = json.loads(line)
    if "error" not in reply:
        return reply["answer"]
    if _KNOWS_NOT.search(reply["error"]):
        raise _Unknown(reply["error"])
    raise SchedulerBusy(f"pyslurm: {reply['error']}.")


def _folder_of_pyslurm() -> list[str]:
    """Return where this process finds pyslurm, for its child, which ignores the shell's PYTHONPATH."""
    found = find_spec("pyslurm")
    return [] if found is None or found.origin is None else [str(Path(found.origin).parents[1])]


class _Unknown(SchedulerBusy):
    """slurmctld does not know the job."""


def _release(version: str) -> str:
    """Return ``22.5`` for ``slurm-wlm 22.05.8`` and for ``22.5.3``; pyslurm works only with the same release."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return f"{int(found[1])}.{int(found[2])}" if found else version
