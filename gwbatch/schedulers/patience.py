"""Asking a batch system that may never answer, without waiting for ever and without everybody waiting."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any, TypeVar

from gwbatch.schedulers.base import SchedulerBusy, SchedulerError

Answer = TypeVar("Answer")


class Patience:
    """Calls into a library, one at a time, each given up after some seconds.

    While an abandoned call still hangs, further ones are refused at once, so that a batch system that hangs
    takes at most one wait of each worker.

    Parameters
    ----------
    whom : str
        Who is asked, for the error.
    seconds : float
        How long to wait.
    """

    def __init__(self, whom: str, seconds: float) -> None:
        self._whom, self._seconds = whom, seconds
        self._turn = threading.Lock()
        self._abandoned: Future[Any] | None = None
        self._lock = threading.Lock()

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """The answer to `call`.

        Raises
        ------
        SchedulerBusy
            When it does not come in time; what it does may still happen.
        """
        with self._lock:
            if self._abandoned is not None and not self._abandoned.done():
                raise SchedulerBusy(f"The {self._whom} still owes an answer; nothing new is asked before it comes.")
            self._abandoned = None
        future: Future[Answer] = Future()
        # Daemons: a call that never returns must not keep the process from ending.
        threading.Thread(target=self._call, args=(future, call), name=f"ask-{self._whom}", daemon=True).start()
        try:
            return future.result(self._seconds)
        except NoAnswer:
            if not future.cancel():
                with self._lock:
                    self._abandoned = future
            raise SchedulerBusy(f"The {self._whom} did not answer within {self._seconds:g} s.") from None

    def _call(self, future: Future[Answer], call: Callable[[], Answer]) -> None:
        with self._turn:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)


class Commands:
    """A batch system's commands on PATH, each killed when it does not answer.

    After one that hung, further ones are refused at once for as long as it was waited for.
    """

    def __init__(self, whom: str, seconds: float) -> None:
        self._whom, self._seconds = whom, seconds
        self._rest_until = float("-inf")

    def run(
        self, *command: str, text: str | None = None, environment: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Exit code, output and errors of a command, run in our environment unless another is given.

        Raises
        ------
        SchedulerBusy
            When it hangs; what it does may have happened.
        SchedulerError
            When there is no such command.
        """
        if time.monotonic() < self._rest_until:
            raise SchedulerBusy(f"{self._whom} hung a moment ago; {command[0]} is tried again in a few seconds.")
        try:
            process = Popen(
                command, stdin=DEVNULL if text is None else PIPE, stdout=PIPE, stderr=PIPE, text=True,
                errors="replace", start_new_session=True, env=environment,
            )  # fmt: skip
        except FileNotFoundError:
            raise SchedulerError(
                f"There is no {command[0]} on PATH: is this a submit host of {self._whom}? (scheduler.bindings)"
            ) from None
        with process:
            try:
                output, errors = process.communicate(text, timeout=self._seconds)
            except TimeoutExpired:
                _kill(process)
                self._rest_until = time.monotonic() + self._seconds
                raise SchedulerBusy(f"{command[0]} did not answer within {self._seconds:g} s.") from None
        return process.returncode, output, errors


def _kill(process: Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


def last_line(text: str) -> str:
    """What a command complained of last, which is usually the point."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no explanation"
