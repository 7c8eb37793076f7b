"""Execution of a job directory on a node: ``python -m gwbatch.jobs.runner DIRECTORY``."""

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
from collections.abc import Callable, Iterable, Mapping
from functools import partial
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
WARN_AT = "GWBATCH_WARN_AT"  # Unix s; the batch script sets it where the batch system has a time limit
_REQUESTS = {signal.SIGTERM, signal.SIGALRM}  # to end
AGAIN = 2.0  # s after which a job that was asked to end, and goes on, is asked again


def _stay() -> None:
    """Ignore SIGTERM for the rest of the job, so that nothing comes between a product and its ``result.json``."""
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class ToldToEnd(TransientError):
    """The batch system wants the job to end, because its time limit is near or its node is needed."""


def _end(*_: object) -> None:
    """End the computation, and try again later: the code that the signal interrupts may swallow the exception."""
    signal.setitimer(signal.ITIMER_REAL, AGAIN)
    raise ToldToEnd("the batch system asked the job to end (time limit near, or node needed)")


def _send_sigterm(*_: object) -> None:
    """Send SIGTERM to this process, which ends a job and lets a pilot leave."""
    os.kill(os.getpid(), signal.SIGTERM)


def _end_before_limit(*_: object) -> None:
    print("gwbatch: the time limit is near", file=sys.stderr, flush=True)
    signal.signal(signal.SIGALRM, _send_sigterm)
    _send_sigterm()


def _watch_time_limit() -> None:
    """Set the timer that ends the job shortly before its time limit."""
    signal.signal(signal.SIGALRM, _send_sigterm)
    if WARN_AT in os.environ:
        signal.signal(signal.SIGALRM, _end_before_limit)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, float(os.environ[WARN_AT]) - time.time()))


def run_directory(directory: Path) -> int:
    """Run the job that a directory's ``job.json`` describes, and return the exit code.

    On SIGTERM the job ends with a ``result.json`` that says so.  A signal that comes earlier waits until `run` can
    write one.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
    signal.signal(signal.SIGTERM, _end)
    _watch_time_limit()
    without_mpi()
    request = json.loads((directory / REQUEST).read_text())
    plugins, folders = request.get("plugins", []), request.get("plugin_folders", [])
    return run(
        request["key"],
        request["kind"],
        {name: directory / name for name in request["inputs"]},
        directory / request["output"],
        request.get("parameters", {}),
        directory,
        partial(import_plugins, plugins, folders),
    )


def run(
    key: str,
    kind: str,
    inputs: Mapping[str, Path],
    output: Path,
    parameters: Mapping[str, Any],
    directory: Path,
    prepare: Callable[[], None] = lambda: None,
) -> int:
    """Compute `output`, write ``result.json`` into `directory`, and return the exit code.

    An error in `prepare` is always retryable, because another node may have what this one lacks.
    """
    one_blas_thread()
    started = time.time()
    (directory / "started.json").write_text(
        json.dumps({"key": key, "started": started, "host": socket.gethostname(), "cores": _cores()})
    )
    hit(f"job.{kind}.started")
    error: dict[str, Any] | None = None
    facts: Mapping[str, Any] = {}
    # Keep the suffix, because the tools infer the format from it.
    unfinished = output.with_name(f".partial-{output.name}")
    is_prepared = False
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
        prepare()
        is_prepared = True
        _require(inputs.values())
        facts = computation(kind).function(Work(inputs, unfinished, parameters)) or {}
        _stay()
        result.sync(unfinished)
        unfinished.rename(output)
    except Exception as problem:
        _stay()
        if isinstance(problem, ModuleNotFoundError):
            problem = missing_package(problem)
        known = isinstance(problem, GwbatchError)
        message = str(problem) if known else f"{type(problem).__name__}: {problem}"
        if known:
            print(message, file=sys.stderr)
        else:
            traceback.print_exc()
        error = {"type": type(problem).__name__, "message": message}
        error["retryable"] = not is_prepared or _is_retryable(problem)
        unfinished.unlink(missing_ok=True)
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


def _is_retryable(problem: Exception) -> bool:
    return problem.transient if isinstance(problem, GwbatchError) else not isinstance(problem, ValueError | TypeError)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that made the result."""
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
            raise BadInput(f"Cannot run the job: the input {path.name} is missing.")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    sys.exit(run_directory(Path(sys.argv[1]).resolve()))
