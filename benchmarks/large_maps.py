"""A plug-in whose sky maps are as large as BAYESTAR's: a tiny map with padding after it."""

from __future__ import annotations

from typing import Any

from gwbatch.jobs import Work, job
from tests.acceptance.fast_jobs import TINY_MAP

SIZE = 777_600  # bytes


@job(queue="openmp", name="localize")
def localize(work: Work) -> dict[str, Any]:
    content = TINY_MAP.read_bytes()
    work.output.write_bytes(content + b"\0" * (SIZE - len(content)))
    return {"has_distances": True, "has_coherence": False}
