"""``result.json``: written last and at once, so that a whole one means a finished job."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "result.json"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file so that it is there whole or not at all, even after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w") as stream:
        json.dump(value, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sync(path: Path) -> None:
    """Have a file's content on the disk before anything says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_result(directory: Path, key: str) -> dict[str, Any] | None:
    """Read the result of the attempt `key` in a job directory; None when there is no whole one of that attempt."""
    try:
        os.scandir(directory).close()  # has a network file system look again for what it believed missing
        result = json.loads((directory / NAME).read_text())
    except (OSError, ValueError):
        return None
    return result if _is_result(result) and result["key"] == key else None


def _is_result(value: Any) -> bool:
    """Return whether a JSON value has the shape that `runner.run` writes."""
    if not isinstance(value, dict) or not isinstance(value.get("key"), str):
        return False
    error, outputs = value.get("error"), value.get("outputs", {})
    return (
        (error is None or isinstance(error, dict))
        and isinstance(outputs, dict)
        and all(isinstance(output, dict) and isinstance(output.get("sha256"), str) for output in outputs.values())
        and isinstance(value.get("host", ""), str)
        and all(isinstance(value.get(name, 0), int | float) for name in ("cores", "started", "finished"))
    )


def fault(directory: Path, result: Mapping[str, Any]) -> str | None:
    """Return why a result cannot be used, or None: the job failed, or an output is missing or damaged."""
    error = result.get("error")
    if error:
        return str(error.get("message"))
    for name, expected in result.get("outputs", {}).items():
        path = directory / name
        if not path.is_file():
            return f"the output {name} did not come back"
        if sha256(path) != expected["sha256"]:
            return f"the output {name} arrived damaged (checksum differs)"
    return None
