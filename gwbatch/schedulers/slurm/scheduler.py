"""Slurm behind the interface of every batch system."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from gwbatch.config.profile import SchedulerSettings
from gwbatch.failpoints import hit
from gwbatch.jobs.result import write_json
from gwbatch.jobs.workflow import BAD_INPUT, SKIP
from gwbatch.model import JobReport, JobRequest, JobState
from gwbatch.schedulers.asking import Asking
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.environment import job_environment, submit_environment
from gwbatch.schedulers.identity import identity
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.slurm.controller import NO_SUCH_NODES, Controller
from gwbatch.schedulers.slurm.states import Row, meaning
from gwbatch.schedulers.slurm.tracks import Track, by_files, restored
from gwbatch.schedulers.templates import render

REFUSED = "BadConstraints"
MISSES = 2  # answers in a row that do not know a job, after which it is lost
LOOK_EVERY = 0.25  # s between two looks at the files of running jobs
LOOK_AT_WAITING = 2.0  # s between two looks at those of waiting ones: there may be many
KEEP_ENDED = 600.0  # s for which an ended job that nobody asks about is remembered
KEEP_OPEN = 86400.0  # s for which one without an end is
SECOND_SOURCES = 20  # jobs at most that are asked about one by one in one round
TOP = 2000  # priorities at and above this one are not set back

# Ends after which no result can be expected to appear any more.
_SUDDEN = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"}

log = logging.getLogger(__name__)


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
        self._misses: dict[str, int] = {}
        self._asking = Asking(self._ask, settings.ask_soonest, settings.ask_every)
        self._looking = Asking(self._look_at_files, LOOK_EVERY, LOOK_EVERY)
        self._looked_at_waiting = float("-inf")
        self._changed = self._closed = False

    def submit(self, request: JobRequest) -> str:
        hit("slurm.before_submit")
        native_id = self._submit(request)
        hit("slurm.after_submit")
        self._put(Track(request.key, native_id, str(request.directory), seen=time.time()))
        self._save()
        self._asking.hurry()
        return native_id

    def _submit(self, request: JobRequest) -> str:
        environment = submit_environment(self._settings)
        try:
            return self._controller.submit(self.describe(request), environment)
        except SchedulerBusy as error:
            if not request.avoid or NO_SUCH_NODES not in str(error):
                raise
            # Slurm knows no "better elsewhere": where no other node is left, the same one is better than none.
            log.warning("job %s cannot avoid %s: %s", request.key, ", ".join(request.avoid), error)
            return self._controller.submit(self.describe(replace(request, avoid=())), environment)

    def find(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        missing = [key for key in keys if key not in self._tracks]
        if missing:
            asked = time.time()
            rows = self._once(self._controller.jobs(), missing)
            for key in missing:
                if key in rows:
                    self._take(key, rows[key], asked)
            self._save()
        with self._lock:
            found = {key: self._tracks[key] for key in keys if key in self._tracks}
        return {key: track.report() for key, track in found.items() if track.state is not JobState.LOST}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        self._looking.if_due(keys)
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
        self._save()
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
        if track is not None and track.native_id:
            return [track.native_id]
        return [row.native_id for row in self._controller.jobs() if row.comment == self._prefix + key]

    # ---- the jobs' own files, which say more and sooner than slurmctld ----------------------------------------

    def _look_at_files(self, keys: Sequence[str]) -> bool:
        """In a thread of its own: a file system that hangs must not keep anybody waiting."""
        now = time.monotonic()
        waiting_too = now - self._looked_at_waiting >= LOOK_AT_WAITING
        if waiting_too:
            self._looked_at_waiting = now
        with self._lock:
            tracks = [self._tracks[key] for key in keys if key in self._tracks]
        for track in tracks:
            looked_at = track.state is JobState.RUNNING or waiting_too or time.time() - track.seen < LOOK_AT_WAITING
            if track.directory and not track.state.final and looked_at:
                told = by_files(track, time.time())
                if told is not None and self._put(told, instead_of=track):
                    self._asking.hurry()
        self._save()
        return True

    # ---- the question to slurmctld ----------------------------------------------------------------------------

    def _ask(self, keys: Sequence[str]) -> bool:
        asked = time.time()
        rows = self._controller.jobs()
        self._cancel_left_over(rows)
        known = self._once(rows, keys)
        changed, further = False, SECOND_SOURCES
        for key in keys:
            row = known.get(key)
            if row is not None:
                changed |= self._take(key, row, asked)
            elif further > 0 and self._worth_asking(key, asked):
                further -= 1
                changed |= self._look_further(key, asked)
        self._save()
        return changed

    def _worth_asking(self, key: str, asked: float) -> bool:
        with self._lock:
            track = self._tracks.get(key)
        return track is None or not (track.state.final or track.seen > asked)

    def _look_further(self, key: str, asked: float) -> bool:
        """A job that squeue does not show any more: whoever still knows it is asked, one by one."""
        with self._lock:
            track = self._tracks.get(key)
        try:
            row = self._second_source(track)
        except SchedulerBusy as error:
            log.warning("job %s: %s", key, error)
            return False
        if row is not None:
            return self._take(key, row, asked)
        return self._miss(key, track)

    def _once(self, rows: Iterable[Row], keys: Iterable[str]) -> dict[str, Row]:
        """Our jobs by key; of two with one key (a reply that came late) the one that runs, or is known, or is older."""
        with self._lock:
            ours = {track.native_id for track in self._tracks.values()}

        def order(row: Row) -> tuple[object, ...]:
            state = meaning(row)[0]
            return (state.final, state is not JobState.RUNNING, row.native_id not in ours, _number(row))

        wanted, found = set(keys), dict[str, Row]()
        for row in sorted(rows, key=order):
            key = row.comment.removeprefix(self._prefix)
            # Slurm remembers what it refused at submission, too: that never was a job.
            refused = row.reason == REFUSED and meaning(row)[0].final
            if key == row.comment or key not in wanted or refused:
                continue
            if key not in found:
                found[key] = row
            elif not meaning(row)[0].final:
                log.warning("job %s is in the queue twice; %s is cancelled", key, row.native_id)
                self._controller.cancel(row.native_id)
        return found

    def _cancel_left_over(self, rows: Iterable[Row]) -> None:
        """What waits or runs for an attempt that is over (requeued by Slurm, say) is cancelled."""
        for row in rows:
            key = row.comment.removeprefix(self._prefix)
            with self._lock:
                track = self._tracks.get(key) if key != row.comment else None
            over = track is not None and track.state in (JobState.FAILED, JobState.LOST, JobState.CANCELLED)
            if over and not meaning(row)[0].final:
                log.warning("job %s is over, but %s is still there: cancelled", key, row.native_id)
                self._controller.cancel(row.native_id)

    def _second_source(self, known: Track | None) -> Row | None:
        if known is None or not known.native_id:
            return None
        row = self._controller.job(known.native_id)
        if row is None:
            return None
        # A cluster that lost its state counts its jobs from 1 again: the number alone says nothing.
        if row.comment:
            return row if row.comment == self._prefix + known.key else None
        return row if row.directory and row.directory == known.directory else None

    def _miss(self, key: str, known: Track | None) -> bool:
        """Nobody knows the job: lost, when that was said more than once and no result appears."""
        now = time.time()
        told = by_files(known, now) if known is not None and known.directory else None
        if told is not None:
            return self._put(told)
        self._misses[key] = self._misses.get(key, 0) + 1
        if self._misses[key] < MISSES:
            return True  # asked again soon
        self._misses.pop(key, None)
        track = known or Track(key, "")
        log.error("job %s (%s) is not known to Slurm any more", key, track.native_id)
        return self._put(replace(track, state=JobState.LOST, reason="Slurm does not know the job any more", seen=now))

    def _take(self, key: str, row: Row, asked: float) -> bool:
        """What slurmctld says counts, unless the files have said something newer meanwhile."""
        with self._lock:
            known = self._tracks.get(key)
        if known is not None and (known.state.final or known.seen > asked):
            return False
        self._misses.pop(key, None)
        if meaning(row)[0] is JobState.FAILED and row.exit_code is None:
            row = self._details(row)
        before = known or Track(key, row.native_id)
        after = _after(before, row, time.time(), self._settings.result_late)
        if known is not None and after == replace(known, seen=after.seen):
            return False
        return self._put(after)

    def _details(self, row: Row) -> Row:
        try:
            found = self._controller.job(row.native_id)
        except SchedulerBusy:
            return row
        return row if found is None else replace(found, directory=found.directory or row.directory)

    # ---- memory -------------------------------------------------------------------------------------------------

    def _put(self, track: Track, instead_of: Track | None = None) -> bool:
        """Note what is known; whether it was taken.  An end is never taken back."""
        with self._lock:
            known = self._tracks.get(track.key)
            stale = instead_of is not None and known != instead_of
            if self._closed or stale or (known is not None and known.state.final):
                return False
            self._tracks[track.key] = track
            self._changed = True
            return True

    def _forget_all_but(self, keys: Sequence[str]) -> None:
        wanted, now = set(keys), time.time()
        for key, track in list(self._tracks.items()):
            if key not in wanted and now - track.seen > (KEEP_ENDED if track.state.final else KEEP_OPEN):
                del self._tracks[key]
                self._changed = True

    def _save(self) -> None:
        with self._lock:
            if self._changed and not self._closed:
                write_json(self._memory, {"version": 1, "tracks": [asdict(one) for one in self._tracks.values()]})
                self._changed = False

    def _remember(self) -> dict[str, Track]:
        try:
            tracks = [restored(values) for values in json.loads(self._memory.read_text())["tracks"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged (%s): Slurm is asked by key", self._memory, error)
            return {}
        return {track.key: track for track in tracks}


def _number(row: Row) -> int:
    return int(row.native_id) if row.native_id.isdecimal() else 0


def _after(before: Track, row: Row, now: float, late: float) -> Track:
    """The track after an answer of slurmctld."""
    state, reason, remedy = meaning(row)
    after = replace(
        before, native_id=row.native_id, state=state, reason=reason, remedy=remedy, host=row.nodes or before.host,
        cores=row.cores or before.cores, directory=before.directory or row.directory, exit_code=row.exit_code, seen=now,
    )  # fmt: skip
    if state is JobState.QUEUED and before.state is JobState.RUNNING:
        return replace(after, started=None, requeued=now)
    if state.final and row.state.split()[0].rstrip("+") not in _SUDDEN and after.directory:
        told = by_files(after if before.started is None else replace(after, started=before.started), now)
        if told is not None and told.state.final:
            return told
        since = before.ended or now
        if now - since < late:
            # The result may be written already and not be seen here: file systems of clusters take their time.
            waiting = "ended; its result is not to be seen yet"
            return replace(after, state=JobState.RUNNING, reason=waiting, exit_code=None, ended=since)
    return after


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
    limit = resources.time_limit or resources.run_deadline
    return render(
        f"{request.queue}.sbatch",
        job=request,
        resources=resources,
        settings=settings,
        python=interpreter(settings),
        environment=job_environment(settings),
        comment=comment,
        placement=placement,
        nice=max(0, TOP - request.priority),
        time_limit=hours_minutes_seconds(limit * (1 if node is None else int(str(node["attempts"])))),
        node=None if node is None else {**node, "skip": SKIP, "bad_input": BAD_INPUT},
    )


def hours_minutes_seconds(seconds: float) -> str:
    """Seconds as ``HH:MM:SS``."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
