"""A parallel region of GNU's OpenMP, whose library healpy's wheel brings along; importing this opens none."""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from pathlib import Path

_HEALPY = importlib.util.find_spec("healpy")
assert _HEALPY is not None
assert _HEALPY.origin is not None
(_FILE,) = (Path(_HEALPY.origin).parents[1] / "healpy.libs").glob("libgomp*")
_LIBRARY = ctypes.CDLL(str(_FILE))
_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def threads_at_once(count: int) -> int:
    """Open a parallel region, and return how many of its threads have run at the same time."""
    seen, together = set[int](), threading.Barrier(count)

    def body(_: object) -> None:
        together.wait(60)
        seen.add(threading.get_native_id())

    _LIBRARY.GOMP_parallel(_BODY(body), None, count, 0)
    return len(seen)
