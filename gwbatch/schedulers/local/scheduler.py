"""Jobs as processes on this machine, limited to its cores, that outlive the dispatcher.

Every job has a folder in the index with ``ticket.json`` (what to run), ``lock`` (held by the running job through an
inherited file descriptor, so that the kernel releases it exactly when the last process of the job ends) and ``exit``
(its exit code).  A restarted dispatcher reads all of this back.  It does not use process ids to tell which jobs run.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwbatch import children
from gwbatch.failpoints import hit
from gwbatch.jobs.result import NAME, write_json
from gwbatch.model import JobRequest, JobState, JobStatus

# The dispatcher's environment variables that jobs get; no credentials.
FORWARDED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LAL_DATA_PATH",
    "VIRTUAL_ENV",
    "GWBATCH_KILL_JOB_AT",
)

# The shell outlives the dispatcher and records how the job ended; "$1" is the job's folder in the index.
_WRAPPER = """
echo $$ > "$1/pid"; folder=$1; shift
"$@" > stdout 2> stderr < /dev/null
echo $? > "$folder/.exit"; mv "$folder/.exit" "$folder/exit"
"""


CANNOT_START = 127

log = logging.getLogger(__name__)


@dataclass
class _Entry:
    key: str
    folder: Path
    directory: Path
    command: list[str]
    cores: int
    priority: int
    order: int
    memory: int = 0
    process: subprocess.Popen[bytes] | None = None
    running: bool = False
    cancelled: bool = False
    exit_code: int | None = None


class LocalScheduler:
    """This machine as a batch system, with strict priorities and one whole-node job at a time.

    Parameters
    ----------
    index : Path
        The folder in which it records its jobs.
    cores : int
        Number of cores for all jobs together; 0 means all that this process may use.
    python : str
        Interpreter for jobs; empty means this process's own.
    environment : mapping of str to str
        What jobs get in addition to the few variables that every process needs.
    memory_mb : int
        Most memory that all running jobs together may request, in MiB; 0 means no limit.
    waiters : bool
        Whether its jobs mostly wait; then all start at once, and cores are not counted.
    """

    name = "local"

    def __init__(
        self,
        index: Path,
        cores: int = 0,
        python: str = "",
        environment: Mapping[str, str] | None = None,
        memory_mb: int = 0,
        *,
        waiters: bool = False,
    ) -> None:
        self._index = index
        self._cores = cores or len(os.sched_getaffinity(0))
        self._python = python or sys.executable
        self._more = dict(environment or {})
        self._memory = memory_mb
        self._waiters = waiters
        # Priorities of the jobs that use this whole machine from within a pilot; such jobs start only if `is_free`.
        self.others: Callable[[], Sequence[int]] = lambda: ()
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        index.mkdir(parents=True, exist_ok=True)
        for ticket in sorted(index.glob("*/ticket.json")):
            entry = self._read(ticket)
            self._entries[entry.key] = entry
        self._order = max((int(folder.name) for folder in index.iterdir() if folder.name.isdecimal()), default=0)

    def submit(self, request: JobRequest) -> str:
        with self._lock:
            known = self._entries.get(request.key)
            if known is None:
                self._order += 1
                folder = self._index / f"{self._order:08d}"
                folder.mkdir(exist_ok=True)  # one without a ticket is left from a dispatcher that was killed
                hit("local.before_ticket")
                ticket = {
                    "key": request.key,
                    "directory": str(request.directory),
                    "command": self._command(request),
                    "cores": self._cores if request.resources.whole_node else min(request.resources.cores, self._cores),
                    "memory": request.resources.memory_mb,
                    "priority": request.priority,
                    "order": self._order,
                }
                write_json(folder / "ticket.json", ticket)
                hit("local.after_ticket")
                known = self._entries[request.key] = _entry(folder, ticket)
            self._start_what_fits()
            return known.folder.name

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        with self._lock:
            return {key: self._report(self._entries[key]) for key in keys if key in self._entries}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        with self._lock:
            for entry in self._entries.values():
                self._refresh(entry)
            self._start_what_fits()
            unknown = {key: JobStatus(key, JobState.LOST, reason="unknown job on this machine") for key in keys}
            self._forget_ended_except(keys)
            return {**unknown, **self.find(keys)}

    def cancel(self, key: str) -> None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.exit_code is not None:
                return
            entry.cancelled = True
            if entry.running:
                self._refresh(entry)
            else:
                self._end(entry, -signal.SIGTERM)

    def release(self, key: str) -> None:
        """Do nothing: local jobs are never held."""

    def describe(self, request: JobRequest) -> str:
        cores = self._cores if request.resources.whole_node else request.resources.cores
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in self._environment(cores).items())
        command = shlex.join(self._command(request))
        return f"cd {shlex.quote(str(request.directory))}\nenv -i {environment} \\\n  {command}\n"

    def close(self) -> None:
        with self._lock:
            for entry in self._entries.values():
                if entry.process is not None:
                    entry.process.poll()

    def _command(self, request: JobRequest) -> list[str]:
        return children.python("gwbatch.jobs.runner", str(request.directory), interpreter=self._python)

    def _environment(self, cores: int) -> dict[str, str]:
        kept = {name: os.environ[name] for name in FORWARDED if name in os.environ}
        if "GWBATCH_KILL_JOB_AT" in kept:
            kept["GWBATCH_KILL_AT"] = kept.pop("GWBATCH_KILL_JOB_AT")
        return {**kept, "MPLBACKEND": "Agg", **self._more, "OMP_NUM_THREADS": str(cores)}

    def _read(self, ticket: Path) -> _Entry:
        entry = _entry(ticket.parent, json.loads(ticket.read_text()))
        # A job that was started and has ended meanwhile (with the whole machine, for example) is not started again.
        begun = (entry.folder / "pid").exists() and entry.exit_code is None
        entry.running = begun or _locked(entry.folder)
        self._refresh(entry)
        return entry

    def _refresh(self, entry: _Entry) -> None:
        """Notice the end of a job; kill it first if it was cancelled."""
        if entry.process is not None:
            entry.process.poll()
        if not entry.running:
            return
        if entry.cancelled:
            _kill_group(entry)
        if not _locked(entry.folder):
            entry.running = False
            # If the wrapper was killed, only the job's result tells how it ended.
            code = _exit_code(entry.folder)
            if code is None:
                code = 0 if (entry.directory / NAME).exists() and not entry.cancelled else -signal.SIGKILL
            entry.exit_code = code

    @staticmethod
    def _end(entry: _Entry, code: int) -> None:
        """Record the exit code of a job that never ran."""
        (entry.folder / "exit").write_text(f"{code}\n")
        entry.exit_code = code

    def _start_what_fits(self) -> None:
        running = [entry for entry in self._entries.values() if entry.running]
        others = self.others()
        free = (0 if others else self._cores) - sum(entry.cores for entry in running)
        used = sum(entry.memory for entry in running)
        waiting = [entry for entry in self._entries.values() if not entry.running and entry.exit_code is None]
        for entry in sorted(waiting, key=lambda entry: (-entry.priority, entry.order)):
            ahead = [*others, *(other.priority for other in running)]
            beside = free == 0 and entry.cores == 1 and all(entry.priority >= priority for priority in ahead)
            full = self._memory and running and used + entry.memory > self._memory
            # Jobs do not overtake one another, so a plot never delays a sky map.  When all cores are taken, a one-core
            # job still starts if none of the running ones is more urgent.
            if not self._waiters and (full or (min(entry.cores, self._cores) > free and not beside)):
                return
            try:
                self._start(entry)
            except (FileNotFoundError, NotADirectoryError) as error:
                log.error("job %s cannot be started: %s", entry.key, error)
                self._end(entry, CANNOT_START)
            except OSError as error:
                log.warning("job %s cannot be started now: %s", entry.key, error)
                return
            else:
                free -= entry.cores
                used += entry.memory
                running.append(entry)

    def is_free(self) -> bool:
        """Return whether no job that takes all cores runs or waits here, or runs in a pilot."""
        with self._lock:
            for entry in self._entries.values():
                self._refresh(entry)
            whole = (entry for entry in self._entries.values() if entry.cores >= self._cores)
            return not self.others() and all(entry.exit_code is not None for entry in whole)

    def _start(self, entry: _Entry) -> None:
        descriptor = os.open(entry.folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hit("local.before_start")
            entry.process = subprocess.Popen(
                ["/bin/sh", "-c", _WRAPPER, "gwbatch-job", str(entry.folder), *entry.command],
                cwd=entry.directory,
                env=self._environment(entry.cores),
                pass_fds=(descriptor,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
            entry.running = True
            hit("local.after_start")
        finally:
            os.close(descriptor)

    def _report(self, entry: _Entry) -> JobStatus:
        started = _json(entry.directory / "started.json")
        report: dict[str, Any] = {
            "native_id": entry.folder.name,
            "host": socket.gethostname(),
            "cores": entry.cores,
            "started": started.get("started") if started.get("key") == entry.key else None,
        }
        if entry.exit_code is None:
            return JobStatus(entry.key, JobState.RUNNING if entry.running else JobState.QUEUED, **report)
        if entry.exit_code == 0:
            return JobStatus(entry.key, JobState.DONE, exit_code=0, **report)
        return JobStatus(
            entry.key, JobState.FAILED, exit_code=entry.exit_code, reason=_describe(entry.exit_code), **report
        )

    def _forget_ended_except(self, keys: Sequence[str]) -> None:
        """Forget ended jobs that nobody follows, except for the newest 200."""
        ended = [entry for entry in self._entries.values() if entry.exit_code is not None and entry.key not in keys]
        for entry in sorted(ended, key=lambda entry: entry.order)[:-200]:
            shutil.rmtree(entry.folder, ignore_errors=True)
            del self._entries[entry.key]


def _entry(folder: Path, ticket: Mapping[str, Any]) -> _Entry:
    return _Entry(
        ticket["key"],
        folder,
        Path(ticket["directory"]),
        list(ticket["command"]),
        ticket["cores"],
        ticket["priority"],
        ticket["order"],
        ticket.get("memory", 0),
        exit_code=_exit_code(folder),
    )


def _locked(folder: Path) -> bool:
    """Return whether any process of the job is still alive."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _exit_code(folder: Path) -> int | None:
    try:
        return int((folder / "exit").read_text())
    except (OSError, ValueError):
        return None


def _kill_group(entry: _Entry) -> None:
    """Kill the job's process group, led by the wrapper; if its pid is not written yet, a later call does it."""
    try:
        leader = entry.process.pid if entry.process is not None else int((entry.folder / "pid").read_text())
        os.killpg(leader, signal.SIGKILL)
    except (OSError, ValueError):
        pass


def _describe(code: int) -> str:
    if code == CANNOT_START:
        return "could not be started: its folder or program is missing"
    number = code - 128 if code > 128 else -code if code < 0 else 0
    if number:
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            pass
    return f"exit code {code}"


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
