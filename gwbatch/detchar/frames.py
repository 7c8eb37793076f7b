"""Reading of channels from low-latency frame files (GWF), short files that appear some seconds after the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from glob import iglob
from pathlib import Path
from typing import Any

_NAME = re.compile(r"-(\d{9,10})-(\d+)\.gwf$")


def covering(pattern: str, start: float, end: float) -> list[Path] | None:
    """Return the files matching a pattern that cover the GPS times from `start` to `end` (s); None if some are missing.

    Files are named ``H-H1_llhoft-GPS-DURATION.gwf``; where several cover the same second, any of them will do.
    """
    # Patterns are absolute, and come from the profile.
    return complete(map(Path, iglob(pattern)), start, end)  # noqa: PTH207


def complete(paths: Iterable[Path], start: float, end: float) -> list[Path] | None:
    """Return the files needed to cover the GPS times from `start` to `end` (s); None if some are missing."""
    found = sorted(
        (int(match[1]), int(match[1]) + int(match[2]), path)
        for path in paths
        if (match := _NAME.search(path.name)) is not None
        and int(match[1]) < end
        and int(match[1]) + int(match[2]) > start
    )
    reached, used = start, []
    for begin, stop, path in found:
        if begin > reached:
            return None
        if stop > reached:
            used.append(path)
            reached = float(stop)
    return used if reached >= end else None


def warm_up() -> None:
    """Import the library that reads frame files."""
    import gwframe  # noqa: F401


def read(files: Iterable[Path], channels: Iterable[str], start: float, end: float) -> dict[str, list[float] | None]:
    """Return the samples of channels over a window; None for a channel that a file lacks, or that cannot be read."""
    pieces: dict[str, list[float] | None] = {channel: [] for channel in channels}
    for path in files:
        for channel in pieces:
            kept = pieces[channel]
            if kept is None:
                continue
            samples = _samples(path, channel, start, end)
            pieces[channel] = None if samples is None else [*kept, *samples]
    return {channel: samples or None for channel, samples in pieces.items()}


def _samples(path: Path, channel: str, start: float, end: float) -> list[float] | None:
    import gwframe

    try:
        series = gwframe.read(path, channel)
    except Exception:  # whatever is wrong with or missing from the file, the state is unknown
        return None
    return list(_between(series, start, end))


def _between(series: Any, start: float, end: float) -> Iterator[float]:
    for number, sample in enumerate(series.array.tolist()):
        at = series.start + number * series.dt
        if at + series.dt > start and at < end:
            yield sample
