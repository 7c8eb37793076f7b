"""Progress for people: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

PLAIN_EVERY = 30.0  # s between two lines


class Bar:
    """A progress display, used as a context manager. Call it with the number done, the total and a short remark.

    Parameters
    ----------
    what : str
        Label of the display.
    quiet : bool
        Show nothing.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._quiet = what, quiet
        self._rich: Any = None
        self._task: Any = None
        self._next = time.monotonic() + PLAIN_EVERY

    def __enter__(self) -> Bar:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            told = TextColumn("{task.fields[told]}")
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), told)
            self._rich = Progress(*columns, console=Console(stderr=True))
            self._rich.start()
            self._task = self._rich.add_task(self._what, total=None, told="")
        return self

    def __exit__(self, *error: object) -> None:
        if self._rich is not None:
            self._rich.stop()

    def __call__(self, done: int, of: int, told: str = "") -> None:
        if self._rich is not None:
            self._rich.update(self._task, completed=done, total=of, told=told)
        elif not self._quiet and time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_EVERY
            click.echo(f"{self._what}: {done} of {of}{', ' + told if told else ''}", err=True)
