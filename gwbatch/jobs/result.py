"""``result.json``, which a job writes last and atomically, so that a complete file means a finished job."""

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
    """Write a JSON file atomically, so that it is never incomplete, even after a power cut."""
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
    """Flush a file's content to disk, before a result announces the file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_result(directory: Path, key: str) -> dict[str, Any] | None:
    """Read the result of the attempt `key` in a job directory; return None if that attempt has no complete result."""
    try:
        os.scandir(directory).close()  # makes a network file system look again for files it has cached as missing
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
    """Return why a result cannot be used (the job failed, or an output is missing or damaged), or None."""
    error = result.get("error")
    if error:
        return str(error.get("message"))
    for name, expected in result.get("outputs", {}).items():
        path = directory / name
        if not path.is_file():
            return f"the output {name} is missing"
        if sha256(path) != expected["sha256"]:
            return f"the output {name} is corrupt (its checksum differs)"
    return None
