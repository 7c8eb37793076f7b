"""slurmctld through pyslurm, in a process of its own.

pyslurm holds the interpreter while it waits for slurmctld, and ends it when it crashes: neither must happen to the
dispatcher.  Submissions go through sbatch all the same, for pyslurm can neither warn a job before its time limit nor
ask for all memory of a node (``--signal``, ``--mem=0``).
"""

from __future__ import annotations

import json
import re
import selectors
import threading
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

_KNOWS_NOT = re.compile(r"invalid job id", re.IGNORECASE)


class BoundController:
    """Questions and actions through pyslurm of the cluster's own release; the rest through the commands.

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
        ours, theirs = self._version(), _release(commands.version())
        if ours != theirs:
            raise ConfigError(f"pyslurm {ours} does not fit Slurm {theirs}")

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
            return _release(str(self._ask("version")))
        except SchedulerBusy as error:
            raise ConfigError(f"pyslurm cannot be used ({error})") from error

    def _act(self, what: str, native_id: str) -> None:
        try:
            self._ask(what, native_id)
        except _Unknown:
            pass  # it has ended

    def _ask(self, what: str, argument: str = "") -> Any:
        """One question to the helper, which is killed and begun anew when it does not answer."""
        with self._lock:
            helper = self._running()
            assert helper.stdin is not None
            assert helper.stdout is not None
            try:
                helper.stdin.write(json.dumps([what, argument]) + "\n")
                helper.stdin.flush()
                with selectors.DefaultSelector() as selector:
                    selector.register(helper.stdout, selectors.EVENT_READ)
                    line = helper.stdout.readline() if selector.select(self._seconds) else None
            except OSError as error:
                self._end()
                raise SchedulerBusy(f"pyslurm's process has ended: {error}.") from error
            if not line:
                self._end()
                words = f"did not answer within {self._seconds:g} s" if line is None else "ended without an answer"
                raise SchedulerBusy(f"slurmctld, asked through pyslurm, {words}.")
        answer = json.loads(line)
        if "error" in answer:
            raise (
                _Unknown(answer["error"])
                if _KNOWS_NOT.search(answer["error"])
                else SchedulerBusy(f"pyslurm: {answer['error']}.")
            )
        return answer["answer"]

    def _running(self) -> Popen[str]:
        if self._helper is None or self._helper.poll() is not None:
            command = children.python("gwbatch.schedulers.slurm.helper", *_folder_of_pyslurm())
            self._helper = Popen(
                command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True, start_new_session=True,
                env=children.environment(),
            )  # fmt: skip
        return self._helper

    def _end(self) -> None:
        if self._helper is not None:
            self._helper.kill()
            self._helper.wait()
            self._helper = None


def _folder_of_pyslurm() -> list[str]:
    """Where this process finds pyslurm: its child must find the same, and looks at no PYTHONPATH of the shell."""
    found = find_spec("pyslurm")
    return [] if found is None or found.origin is None else [str(Path(found.origin).parents[1])]


class _Unknown(SchedulerBusy):
    """slurmctld does not know the job."""


def _release(version: str) -> str:
    """``22.5`` of ``slurm-wlm 22.05.8`` and of ``22.5.3``: pyslurm fits its own release of Slurm only."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return f"{int(found[1])}.{int(found[2])}" if found else version
