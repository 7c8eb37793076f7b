"""The text of HTCondor's job event log: from bytes to events, whatever else stands between them.

Read with our own few lines and not with the bindings' reader: that one keeps its position in a pickle, stops at
damage, and is not there where only the commands are.
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
        HTCondor's number of the kind of event: 0 submit, 1 execute, 4 evicted, 5 terminated, ...
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
    """Return how many bytes of `data` are whole events: what is behind the last end mark is still being written."""
    ends = [match.end() for match in _END.finditer(data)]
    return ends[-1] if ends else 0


def parse(data: bytes) -> Iterator[LogEvent]:
    """Yield the events in whole bytes of a log; garbage between them is passed over.

    An event whose end is cut off ends where the next one begins.
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
    """Read a time as HTCondor writes it: local unless it says otherwise; older versions leave the year out."""
    try:
        if "/" in stamp:
            return datetime.strptime(f"{time.localtime().tm_year}/{stamp}", "%Y/%m/%d %H:%M:%S").timestamp()
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return None
