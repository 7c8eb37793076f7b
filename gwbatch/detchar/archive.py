"""Search for frame files that have left the low-latency folders, through a GWDataFind server."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gwbatch.detchar.frames import complete

PATIENCE = 5.0  # s for one query


def archived(server: str, detector: str, frame_types: Iterable[str], start: float, end: float) -> list[Path] | None:
    """Return the files of the first frame type that covers the GPS times from `start` to `end` (s) on this machine.

    Parameters
    ----------
    server : str
        ``host[:port]``, or a URL.

    Returns
    -------
    list of Path or None
        None if no frame type covers all of the time, or the server gives no answer.
    """
    import gwdatafind

    for frame_type in frame_types:
        try:
            urls = gwdatafind.find_urls(
                detector[0], frame_type, math.floor(start), math.ceil(end), urltype="file", on_gaps="ignore",
                host=server, timeout=PATIENCE,
            )  # fmt: skip
        except Exception:  # no server, no permission or no such type; the state is unknown
            continue
        found = complete((Path(unquote(urlsplit(url).path)) for url in urls), start, end)
        if found is not None and all(path.is_file() for path in found):
            return found
    return None
