"""The process that runs pyslurm for the dispatcher.

It reads a JSON list ``[what, argument]`` per line, and writes an answer or an error per line.  The first line that it
writes, unasked, is pyslurm's release; the dispatcher attributes any delay after that to slurmctld.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any


def answer(what: str, argument: str) -> Any:
    """Return slurmctld's answer to one request."""
    import pyslurm

    match what:
        case "jobs":
            return [_row(job) for job in pyslurm.Jobs.load().values() if str(job.comment or "").startswith("gwbatch")]
        case "job":
            return _row(pyslurm.Job.load(int(argument)))
        case "cancel":
            return pyslurm.Job(int(argument)).cancel()
        case "release":
            return pyslurm.Job(int(argument)).release()
    raise ValueError(f"unknown request {what!r}")


def _row(job: Any) -> dict[str, Any]:
    return {
        "native_id": str(job.id),
        "state": str(job.state),
        "reason": str(job.state_reason or ""),
        "cores": job.cpus,
        "nodes": str(job.allocated_nodes or ""),
        "comment": str(job.comment or ""),
        "exit_code": job.exit_code,
        "signal": job.exit_code_signal,
        "directory": str(job.working_directory or ""),
    }


def main() -> None:
    """Answer requests until standard input ends, which happens when the dispatcher exits.

    The command-line argument is the folder in which the dispatcher finds pyslurm.
    """
    sys.path.extend(sys.argv[1:])
    _tell(_release)
    for line in sys.stdin:
        _tell(partial(_reply, line))


def _release() -> str:
    import pyslurm

    return str(pyslurm.__version__)


def _reply(line: str) -> Any:
    return answer(*json.loads(line))


def _tell(find: Callable[[], Any]) -> None:
    try:
        reply = {"answer": find()}
    except Exception as error:
        reply = {"error": f"{error or type(error).__name__}"}
    print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
