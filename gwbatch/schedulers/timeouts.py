"""Calls to a batch system that may never answer, with a timeout, and without blocking every worker."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from functools import cache
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import TypeVar

from gwbatch.schedulers.base import SchedulerBusy

Answer = TypeVar("Answer")


class CallTimeout:
    """Calls into a library, one at a time, each abandoned after some seconds.

    While an abandoned call still hangs, further ones are refused at once, so that a hanging batch system costs each
    worker at most one wait.

    Parameters
    ----------
    whom : str
        What error messages call the batch system.
    seconds : float
        How long to wait, counted from the start of the call.
    """

    def __init__(self, whom: str, seconds: float) -> None:
        self._whom, self._seconds = whom, seconds
        self._turn = threading.Lock()
        self._hanging = False

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """Return the answer to `call`.

        Raises
        ------
        SchedulerBusy
            When no answer arrives in time; the call may still take effect.
        """
        if self._hanging or not self._turn.acquire(timeout=self._seconds):
            raise SchedulerBusy(f"The {self._whom} has not answered an earlier call yet; no new call was made.")
        future: Future[Answer] = Future()
        # A daemon thread, so that a call that never returns does not keep the process from exiting.
        threading.Thread(target=self._call, args=(future, call), name=f"ask-{self._whom}", daemon=True).start()
        try:
            return future.result(self._seconds)
        except NoAnswer:
            if future.done():  # the call itself raised it
                raise
            self._hanging = True
            raise SchedulerBusy(f"The {self._whom} did not answer within {self._seconds:g} s.") from None

    def _call(self, future: Future[Answer], call: Callable[[], Answer]) -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        finally:
            self._hanging = False
            self._turn.release()


class CommandRunner:
    """A batch system's commands on PATH, each killed if it does not answer in time.

    After a command has hung, further ones are refused at once for as long as its timeout was.
    """

    def __init__(self, whom: str, seconds: float) -> None:
        self._whom, self._seconds = whom, seconds
        self._rest_until = float("-inf")

    def run(
        self, *command: str, text: str | None = None, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run a command, in our environment unless another is given; return exit code, output and error output.

        Raises
        ------
        SchedulerBusy
            When the command hangs (it may have taken effect), or is not on PATH at the moment.
        """
        if time.monotonic() < self._rest_until:
            raise SchedulerBusy(f"{self._whom} hung a moment ago; {command[0]} will be tried again in a few seconds.")
        try:
            process = Popen(
                [*_dying_with_us(), *command], stdin=DEVNULL if text is None else PIPE, stdout=PIPE, stderr=PIPE,
                text=True, errors="replace", start_new_session=True, env=environment,
            )  # fmt: skip
        except FileNotFoundError:
            raise SchedulerBusy(_missing(command[0], self._whom)) from None
        with process:
            try:
                output, errors = process.communicate(text, timeout=self._seconds)
            except TimeoutExpired:
                _kill(process)
                self._rest_until = time.monotonic() + self._seconds
                raise SchedulerBusy(f"{command[0]} did not answer within {self._seconds:g} s.") from None
        if process.returncode == 127 and shutil.which(command[0]) is None:
            raise SchedulerBusy(_missing(command[0], self._whom))
        return process.returncode, output, errors


@cache
def _dying_with_us() -> tuple[str, ...]:
    """Return a prefix that makes a command die with this process, so that it cannot submit a job afterwards."""
    return ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


def _missing(command: str, whom: str) -> str:
    return f"Cannot find {command} on PATH. Use a submit host of {whom}, or change scheduler.bindings."


def _kill(process: Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


def last_line(text: str) -> str:
    """Return the last line of a command's error output, which is usually the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no explanation"
