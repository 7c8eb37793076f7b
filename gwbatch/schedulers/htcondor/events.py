"""A parser for HTCondor's job event log that tolerates garbage between the events.

It replaces the reader of the bindings, which keeps its position in a pickle, stops at corrupt data, and is unavailable
where only the commands are installed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

_HEADER = re.compile(
    rb"(\d{3}) \((\d+)\.(\d+)\.\d+\) "
    rb"((?:\d{4}-)?\d{1,2}[-/]\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?) ?(.*)$",
    re.MULTILINE,
)
_END = re.compile(rb"^\.\.\.\r?\n", re.MULTILINE)


@dataclass(frozen=True)
class LogEvent:
    """One event.

    Attributes
    ----------
    number : int
        HTCondor's number for the kind of event: 0 submit, 1 execute, 4 evicted, 5 terminated, ...
    job : str
        ``cluster.proc``.
    time : float
        Unix time in seconds.
    text : str
        The rest of its first line.
    body : tuple of str
        The lines below it, stripped.
    """

    number: int
    job: str
    time: float
    text: str
    body: tuple[str, ...]


def complete(data: bytes) -> int:
    """Return how many bytes of `data` are complete events; what follows the last end mark is still being written."""
    ends = [match.end() for match in _END.finditer(data)]
    return ends[-1] if ends else 0


def parse(data: bytes) -> Iterator[LogEvent]:
    """Yield the events in the complete part of a log, skipping garbage between them.

    An event without an end mark ends where the next one begins.
    """
    headers = list(_HEADER.finditer(data))
    for header, following in zip_longest(headers, headers[1:]):
        body = data[header.end() : following.start() if following else len(data)]
        end = _END.search(body)
        lines = (body[: end.start()] if end else body).decode(errors="replace").splitlines()
        number, cluster, proc, stamp, text = header.groups()
        when = _time(stamp.decode())
        if when is not None:
            stripped = tuple(line.strip() for line in lines if line.strip())
            job = f"{int(cluster)}.{int(proc)}"
            yield LogEvent(int(number), job, when, text.decode(errors="replace").strip(), stripped)


def _time(stamp: str) -> float | None:
    """Parse a time as HTCondor writes it: local unless it has a UTC offset, and without the year in older versions."""
    try:
        if "/" in stamp:
            return datetime.strptime(f"{time.localtime().tm_year}/{stamp}", "%Y/%m/%d %H:%M:%S").timestamp()
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
