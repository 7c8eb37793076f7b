"""A job directory: what stands in it before the job runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gwbatch.jobs.result import write_json

REQUEST = "job.json"


def write_request(
    directory: Path,
    key: str,
    kind: str,
    inputs: Iterable[str],
    output: str,
    parameters: Mapping[str, Any],
    plugins: Sequence[str],
) -> None:
    """Write ``job.json``: what `runner` is to do in this directory."""
    value = {
        "key": key,
        "kind": kind,
        "inputs": list(inputs),
        "output": output,
        "parameters": dict(parameters),
        "plugins": list(plugins),
    }
    write_json(directory / REQUEST, value)
