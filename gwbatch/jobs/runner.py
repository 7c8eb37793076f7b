"""Executing a job directory on a node: ``python -m gwbatch.jobs.runner DIRECTORY``."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gwbatch.errors import GwbatchError, TransientError, missing_package
from gwbatch.failpoints import hit
from gwbatch.jobs import result
from gwbatch.jobs.catalogue import Work, computation
from gwbatch.jobs.science import one_blas_thread, without_mpi
from gwbatch.jobs.spec import REQUEST
from gwbatch.plugins import import_plugins

EXIT_DONE, EXIT_BAD_INPUT, EXIT_FAILED = 0, 3, 1


def _stay() -> None:
    """Ignore SIGTERM, as the end is near anyway: nothing may come between a product and its ``result.json``."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class ToldToEnd(TransientError):
    """The batch system wants the job to end: its time is nearly over, or its node is wanted."""


def _end(*_: object) -> None:
    _stay()
    raise ToldToEnd("the batch system told the job to end (its time limit, or its node was wanted)")


def run_directory(directory: Path) -> int:
    """Do what ``job.json`` of a directory says; returns the exit code.

    SIGTERM ends it with a ``result.json`` that says so.
    """
    signal.signal(signal.SIGTERM, _end)
    without_mpi()
    request = json.loads((directory / REQUEST).read_text())
    import_plugins(request.get("plugins", []), request.get("plugin_folders", []))
    return run(
        request["key"],
        request["kind"],
        {name: directory / name for name in request["inputs"]},
        directory / request["output"],
        request.get("parameters", {}),
        directory,
    )


def run(
    key: str,
    kind: str,
    inputs: Mapping[str, Path],
    output: Path,
    parameters: Mapping[str, Any],
    directory: Path,
) -> int:
    """Compute `output` and write ``result.json`` into `directory`."""
    one_blas_thread()
    started = time.time()
    (directory / "started.json").write_text(
        json.dumps({"key": key, "started": started, "host": socket.gethostname(), "cores": _cores()})
    )
    hit(f"job.{kind}.started")
    error: dict[str, Any] | None = None
    facts: Mapping[str, Any] = {}
    # The suffix stays as it is: the tools tell the format from it.
    partial = output.with_name(f".partial-{output.name}")
    try:
        _require(inputs.values())
        facts = computation(kind).function(Work(inputs, partial, parameters)) or {}
        if threading.current_thread() is threading.main_thread():
            _stay()
        result.sync(partial)
        partial.rename(output)
    except Exception as problem:
        if isinstance(problem, ModuleNotFoundError):
            problem = missing_package(problem)
        known = isinstance(problem, GwbatchError)
        message = str(problem) if known else f"{type(problem).__name__}: {problem}"
        if known:
            print(message, file=sys.stderr)
        else:
            traceback.print_exc()
        retryable = (
            problem.transient if isinstance(problem, GwbatchError) else not isinstance(problem, ValueError | TypeError)
        )
        error = {"type": type(problem).__name__, "message": message, "retryable": retryable}
        partial.unlink(missing_ok=True)
    hit(f"job.{kind}.before_result")
    result.write_json(
        directory / result.NAME,
        {
            "key": key,
            "kind": kind,
            "error": error,
            "outputs": {}
            if error
            else {output.name: {"sha256": result.sha256(output), "bytes": output.stat().st_size}},
            "facts": dict(facts),
            "host": socket.gethostname(),
            "cores": _cores(),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
            "versions": versions(),
            "started": started,
            "finished": time.time(),
            "run_seconds": time.time() - started,
        },
    )
    hit(f"job.{kind}.after_result")
    if error is None:
        return EXIT_DONE
    return EXIT_FAILED if error["retryable"] else EXIT_BAD_INPUT


def versions() -> dict[str, str]:
    """Return what the result was made with."""
    found = {"python": platform.python_version()}
    for package in ("gwbatch", "ligo.skymap", "lalsuite", "healpy", "astropy", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _require(paths: Iterable[Path]) -> None:
    from gwbatch.errors import BadInput

    for path in paths:
        if not path.is_file():
            raise BadInput(f"The input {path.name} is not there.")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(run_directory(Path(sys.argv[1]).resolve()))
