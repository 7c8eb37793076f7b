"""Slurm behind the interface of every batch system."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gwbatch.config.profile import SchedulerSettings
from gwbatch.faults import mark
from gwbatch.jobs.result import read_result, write_json
from gwbatch.jobs.workflow import BAD_INPUT, SKIP
from gwbatch.model import JobReport, JobRequest, JobState, Remedy
from gwbatch.schedulers.asking import Asking
from gwbatch.schedulers.base import SchedulerBusy, SchedulerError
from gwbatch.schedulers.environment import job_environment, submit_environment
from gwbatch.schedulers.identity import identity
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.slurm.controller import Controller
from gwbatch.schedulers.slurm.states import Row, meaning
from gwbatch.schedulers.templates import job_script, render

MISSES = 2  # answers in a row that do not know a job, after which it is lost
LOOK_EVERY = 0.25  # s between two looks at a job's own files, which may lie on a shared file system
KEEP_ENDED = 600.0  # s for which an ended job that nobody asks about is remembered
TOP = 2000  # priorities at and above this one are not set back

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Track:
    """What is known of one job.

    Attributes
    ----------
    seen : float
        Unix time at which we learned the newest of it.
    """

    key: str
    native_id: str
    directory: str = ""
    state: JobState = JobState.QUEUED
    reason: str = ""
    remedy: Remedy = Remedy.WAIT
    host: str = ""
    cores: int | None = None
    started: float | None = None
    exit_code: int | None = None
    seen: float = 0.0
    misses: int = 0

    def report(self) -> JobReport:
        """In the words of every scheduler."""
        return JobReport(
            self.key, self.state, self.native_id, self.reason, self.host, self.cores, self.started, None,
            self.exit_code, self.remedy,
        )  # fmt: skip


class SlurmScheduler:
    """A Slurm cluster whose nodes see the job directories.

    Parameters
    ----------
    folder : Path
        Where it remembers its jobs.
    controller : Controller
        The way to slurmctld.
    """

    name = "slurm"

    def __init__(self, folder: Path, settings: SchedulerSettings, controller: Controller) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._controller = controller
        self._memory = folder / "jobs.json"
        self._prefix = f"gwbatch:{identity(folder)}:"
        self._lock = threading.RLock()
        self._tracks = self._remember()
        self._asking = Asking(self._ask, settings.ask_soonest, settings.ask_every)
        self._looked = float("-inf")
        self._closed = False

    def submit(self, request: JobRequest) -> str:
        mark("slurm.before_submit")
        native_id = self._submit(request)
        mark("slurm.after_submit")
        self._put(Track(request.key, native_id, str(request.directory), seen=time.time()))
        self._asking.hurry()
        return native_id

    def _submit(self, request: JobRequest) -> str:
        environment = submit_environment(self._settings)
        try:
            return self._controller.submit(self.describe(request), environment)
        except SchedulerBusy:
            raise
        except SchedulerError as error:
            if not request.avoid:
                raise
            # Slurm knows no "better elsewhere": where no other node is left, the same one is better than none.
            log.warning("job %s cannot avoid %s: %s", request.key, ", ".join(request.avoid), error)
            return self._controller.submit(self.describe(replace(request, avoid=())), environment)

    def find(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        missing = [key for key in keys if key not in self._tracks]
        if missing:
            asked = time.time()
            rows = self._controller.jobs()
            self._learn(self._once(rows, missing), missing, asked, ask_further=False)
        with self._lock:
            return {key: self._tracks[key].report() for key in keys if key in self._tracks}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        self._look_at_files(keys)
        self._asking.if_due(keys)
        with self._lock:
            self._forget_all_but(keys)
            return {key: self._report(key) for key in keys}

    def cancel(self, key: str) -> None:
        for native_id in self._native_ids(key):
            self._controller.cancel(native_id)
        self._asking.hurry()

    def release(self, key: str) -> None:
        for native_id in self._native_ids(key):
            self._controller.release(native_id)
        self._asking.hurry()

    def describe(self, request: JobRequest) -> str:
        return batch_script(request, self._settings, f"{self._prefix}{request.key}")

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _report(self, key: str) -> JobReport:
        track = self._tracks.get(key)
        if track is None:
            reason = self._asking.trouble or "slurmctld is being asked"
            return JobReport(key, JobState.UNKNOWN, reason=reason)
        return track.report()

    def _native_ids(self, key: str) -> list[str]:
        with self._lock:
            track = self._tracks.get(key)
        if track is not None:
            return [track.native_id]
        return [row.native_id for row in self._controller.jobs() if row.comment == self._prefix + key]

    # ---- the jobs' own files, which say more and sooner than slurmctld ----------------------------------------

    def _look_at_files(self, keys: Sequence[str]) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        with self._lock:
            open_tracks = [self._tracks[key] for key in keys if key in self._tracks]
        for track in open_tracks:
            if track.directory and not track.state.final:
                seen = _by_files(track)
                if seen is not None:
                    self._put(seen)
                    self._asking.hurry()

    # ---- the question to slurmctld ----------------------------------------------------------------------------

    def _ask(self, keys: Sequence[str]) -> bool:
        asked = time.time()
        rows = self._once(self._controller.jobs(), keys)
        return self._learn(rows, keys, asked, ask_further=True)

    def _once(self, rows: Iterable[Row], keys: Sequence[str]) -> dict[str, Row]:
        """Our jobs by key; of two with one key (a reply that came too late) the older stays."""
        found: dict[str, Row] = {}
        for row in sorted(rows, key=lambda row: int(row.native_id) if row.native_id.isdecimal() else 0):
            key = row.comment.removeprefix(self._prefix)
            if key == row.comment or key not in keys:
                continue
            if key not in found:
                found[key] = row
            elif not meaning(row)[0].final:
                log.warning("job %s is in the queue twice; %s is cancelled", key, row.native_id)
                self._controller.cancel(row.native_id)
        return found

    def _learn(self, rows: Mapping[str, Row], keys: Sequence[str], asked: float, *, ask_further: bool) -> bool:
        changed = False
        for key in keys:
            with self._lock:
                known = self._tracks.get(key)
            if known is not None and (known.state.final or known.seen > asked):
                continue
            row = rows.get(key)
            if row is None and ask_further:
                row = self._second_source(known)
            if row is None:
                changed |= ask_further and self._miss(key, known)
            else:
                changed |= self._take(key, known, row)
        return changed

    def _second_source(self, known: Track | None) -> Row | None:
        if known is None:
            return None
        row = self._controller.job(known.native_id)
        # A cluster that lost its state counts its jobs from 1 again: the number alone says nothing.
        return row if row is not None and row.comment in ("", self._prefix + known.key) else None

    def _miss(self, key: str, known: Track | None) -> bool:
        """Nobody knows the job: lost, when that was said more than once."""
        track = known or Track(key, "")
        told = _by_files(track) if track.directory else None
        if told is not None:
            self._put(told)
            return True
        track = replace(track, misses=track.misses + 1, seen=track.seen or time.time())
        if track.misses >= MISSES:
            log.error("job %s (%s) is not known to Slurm any more", key, track.native_id)
            track = replace(track, state=JobState.LOST, reason="Slurm does not know the job any more", seen=time.time())
        self._put(track)
        return True

    def _take(self, key: str, known: Track | None, row: Row) -> bool:
        state, reason, remedy = meaning(row)
        if state is JobState.FAILED and row.exit_code is None:
            row = self._controller.job(row.native_id) or row
            state, reason, remedy = meaning(row)
        before = known or Track(key, row.native_id)
        after = replace(
            before, native_id=row.native_id, state=state, reason=reason, remedy=remedy, host=row.nodes or before.host,
            cores=row.cores or before.cores, exit_code=row.exit_code, misses=0,
        )  # fmt: skip
        if known is not None and after == known:
            return False
        self._put(replace(after, seen=time.time()))
        return True

    # ---- memory -------------------------------------------------------------------------------------------------

    def _put(self, track: Track) -> None:
        with self._lock:
            known = self._tracks.get(track.key)
            if self._closed or (known is not None and known.state.final):
                return
            self._tracks[track.key] = track
            self._save()

    def _forget_all_but(self, keys: Sequence[str]) -> None:
        wanted, old = set(keys), time.time() - KEEP_ENDED
        gone = [
            key for key, track in self._tracks.items() if track.state.final and key not in wanted and track.seen < old
        ]
        for key in gone:
            del self._tracks[key]
        if gone:
            self._save()

    def _save(self) -> None:
        write_json(self._memory, {"version": 1, "tracks": [asdict(track) for track in self._tracks.values()]})

    def _remember(self) -> dict[str, Track]:
        try:
            tracks = [_track(values) for values in json.loads(self._memory.read_text())["tracks"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%s): Slurm is asked by key", self._memory, error)
            return {}
        return {track.key: track for track in tracks}


def _track(values: dict[str, Any]) -> Track:
    return replace(Track(**values), state=JobState(values["state"]), remedy=Remedy(values["remedy"]))


def _by_files(track: Track) -> Track | None:
    """What the job's own files say that is not known yet."""
    directory = Path(track.directory)
    result = read_result(directory, track.key)
    if result is not None:
        good = not result.get("error")
        state = JobState.DONE if good else JobState.FAILED
        return replace(
            track, state=state, reason="" if good else "ended with an error", exit_code=0 if good else None,
            started=result.get("started"), seen=time.time(),
        )  # fmt: skip
    if track.state is JobState.RUNNING and track.started is not None:
        return None
    try:
        told = json.loads((directory / "started.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict) or told.get("key") != track.key:
        return None
    return replace(
        track, state=JobState.RUNNING, reason="", started=told.get("started"),
        host=track.host or str(told.get("host") or ""), seen=time.time(),
    )  # fmt: skip


def batch_script(
    request: JobRequest, settings: SchedulerSettings, comment: str, node: Mapping[str, object] | None = None
) -> str:
    """The batch script of a job, from ``submit/openmp.sbatch`` or ``submit/general.sbatch``.

    Parameters
    ----------
    node : mapping or None
        Of a node of a workflow: ``folder``, ``name`` and ``attempts``.
    """
    resources = request.resources
    placement = {
        "partition": resources.partition or settings.partition,
        "account": settings.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "reservation": resources.reservation,
        "exclude": ",".join(request.avoid),
    }
    return render(
        f"{request.queue}.sbatch",
        job=request,
        resources=resources,
        settings=settings,
        script=job_script(),
        python=interpreter(settings),
        environment=job_environment(settings),
        comment=comment,
        placement=placement,
        nice=max(0, TOP - request.priority),
        time_limit=hours_minutes_seconds(resources.time_limit or resources.run_deadline),
        node=None if node is None else {**node, "skip": SKIP, "bad_input": BAD_INPUT},
    )


def hours_minutes_seconds(seconds: float) -> str:
    """Seconds as ``HH:MM:SS``, which both sbatch and pyslurm understand."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
