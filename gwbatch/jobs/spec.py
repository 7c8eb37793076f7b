"""The request in a job directory, written before the job runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwbatch.jobs.result import write_json

if TYPE_CHECKING:
    from gwbatch.config.profile import Profile

REQUEST = "job.json"


def write_request(
    directory: Path,
    key: str,
    kind: str,
    inputs: Iterable[str],
    output: str,
    parameters: Mapping[str, Any],
    profile: Profile,
) -> None:
    """Write ``job.json``, which tells `runner` what to do in this directory."""
    value = {
        "key": key,
        "kind": kind,
        "inputs": list(inputs),
        "output": output,
        "parameters": dict(parameters),
        "plugins": profile.plugins,
        "plugin_folders": profile.plugin_folders,
    }
    write_json(directory / REQUEST, value)
