"""The common part of schedulers that poll their batch system about all jobs.

A backend implements `Queue` (five calls) and `PollingScheduler.describe`.  This module handles what all batch systems
have in common: lost replies, two jobs with one key, jobs that have vanished, answers older than what is known, and
restarts of the dispatcher.  Some updates arrive before the next query: from the jobs' own files on a shared file
system, or from whatever a subclass reads in `news`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import SchedulerSettings
from gwbatch.failpoints import hit
from gwbatch.jobs.result import write_json
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers.base import SchedulerBusy
from gwbatch.schedulers.environment import submit_environment
from gwbatch.schedulers.jobfiles import by_files
from gwbatch.schedulers.poller import Poller
from gwbatch.schedulers.records import JobRecord, JobRecords, restored

LOOK_EVERY = 0.25  # s between two checks of the files of running jobs
LOOK_AT_WAITING = 2.0  # s between two checks of those of waiting jobs, of which there may be many
SECOND_SOURCES = 20  # most jobs that one round looks up one by one

log = logging.getLogger(__name__)


class Queue(Protocol):
    """The batch system's queue.  Every call raises `SchedulerBusy` if there is no answer."""

    def submit(self, text: str, environment: Mapping[str, str]) -> str:
        """Submit one job; return its native id.  Raises `SchedulerError` if it is permanently refused."""
        ...

    def jobs(self) -> list[JobRecord]:
        """Return all jobs of this dispatcher that the batch system knows, with one query."""
        ...

    def details(self, record: JobRecord) -> JobRecord | None:
        """Return the record of one job from a slower source; None if that does not know the job or does not exist."""
        ...

    def cancel(self, native_id: str) -> None:
        """Cancel a job; do nothing if it has ended."""
        ...

    def release(self, native_id: str) -> None:
        """Release a held job."""
        ...


class PollingScheduler:
    """A batch system's `Queue`, behind the `Scheduler` interface.

    Parameters
    ----------
    folder : Path
        Where the scheduler saves its records of jobs.
    queue : Queue
        Access to the batch system.
    clock : Clock, optional
        The source of times and durations; the dispatcher's own runs on evenly if somebody sets the machine's.

    Attributes
    ----------
    name : str
        The backend's name, with which the names of its failpoints begin.
    whom : str
        What messages to people call the batch system.
    """

    name: str
    whom: str

    def __init__(self, folder: Path, settings: SchedulerSettings, queue: Queue, clock: Clock | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock or SystemClock()
        self._settings = settings
        self._queue = queue
        self._memory = folder / "jobs.json"
        self._lock = threading.RLock()
        self._records = self._remember()
        self._poller = Poller(self._ask, settings.ask_soonest, settings.ask_every, self._clock)
        self._looking = Poller(self._look_at_files, LOOK_EVERY, LOOK_EVERY, self._clock)
        self._looked_at_waiting = float("-inf")
        self._cancelled: set[str] = set()
        self._closed = False

    # ---- for subclasses to define or override -------------------------------------------------------------------

    def describe(self, request: JobRequest) -> str:
        raise NotImplementedError

    def hand_over(self, request: JobRequest) -> str:
        """Submit a job; return its native id."""
        return self._queue.submit(self.describe(request), submit_environment(self._settings))

    def news(self, keys: Sequence[str]) -> None:
        """Process what is known without a query, or start looking for it; never block."""
        self._looking.poll_if_due(keys)

    def merged(self, known: JobRecord | None, reported: JobRecord, asked: float) -> JobRecord:
        """Return the job's record after the answer to a query that began at the steady time `asked` (s)."""
        before = known or JobRecord(reported.key)
        after = replace(
            before, native_id=reported.native_id, state=reported.state, reason=reported.reason, remedy=reported.remedy,
            host=reported.host or before.host, cores=reported.cores or before.cores,
            started=reported.started or before.started, directory=before.directory or reported.directory,
            exit_code=reported.exit_code, sudden=reported.sudden, learned=asked,
        )  # fmt: skip
        if reported.state is JobState.QUEUED and before.state is JobState.RUNNING:
            return replace(after, started=None, requeued=self._clock.now())
        if reported.state.final and not reported.sudden and after.directory:
            return self._with_result(before, after)
        return after

    def give_up(self, key: str) -> None:
        """Cancel, by key, a job that may still run although the batch system says that it knows no such job.

        The native id would not be safe, because a batch system that lost its state gives the same number to another
        job.  By default, do nothing.
        """

    # ---- the Scheduler interface --------------------------------------------------------------------------------

    def submit(self, request: JobRequest) -> str:
        hit(f"{self.name}.before_submit")
        native_id = self.hand_over(request)
        hit(f"{self.name}.after_submit")
        with self._lock:
            known = self._records.of(native_id)  # an event may have arrived before the reply
            if known is None or known.key != request.key:
                known = JobRecord(request.key, native_id, learned=self._clock.steady())
            if not self._closed:
                self._records.choose(replace(known, directory=str(request.directory)))
        self._save()
        self._poller.poll_soon()
        return native_id

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        with self._lock:
            self.news(keys)
            missing = {key for key in keys if self._records.current(key) is None}
        if missing:
            asked = self._clock.steady()
            for key, reported in self._deduplicate(self._queue.jobs(), missing).items():
                self._update(key, reported, asked)
            self._save()
        with self._lock:
            found = {key: self._records.current(key) for key in keys}
        return {key: record.report() for key, record in found.items() if record and record.state is not JobState.LOST}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        with self._lock:
            self.news(keys)
            self._records.forget_all_but(set(keys))
            self._cancelled.intersection_update(keys)
            if self._records.doubled:
                self._records.doubled = False
                self._poller.poll_soon(within=0.0)
            self._poller.poll_if_due(keys)
            return {key: self._report(key) for key in keys}

    def cancel(self, key: str) -> None:
        for native_id in self._native_ids(key):
            self._queue.cancel(native_id)
            self._cancelled.add(key)
        self._poller.poll_soon()

    def release(self, key: str) -> None:
        for native_id in self._native_ids(key):
            self._queue.release(native_id)
        self._poller.poll_soon()

    def close(self) -> None:
        self._save()
        with self._lock:
            self._closed = True  # a late answer must not overwrite what the next dispatcher saves

    def _report(self, key: str) -> JobStatus:
        record = self._records.current(key)
        if record is None:
            return JobStatus(key, JobState.UNKNOWN, reason=self._poller.trouble or f"waiting for {self.whom} to answer")
        return record.report()

    def _native_ids(self, key: str) -> list[str]:
        with self._lock:
            record = self._records.current(key)
        if record is not None and record.native_id:
            return [record.native_id]
        return [reported.native_id for reported in self._queue.jobs() if reported.key == key]

    # ---- the jobs' own files ------------------------------------------------------------------------------------

    def _look_at_files(self, keys: Sequence[str]) -> bool:
        """Check the jobs' files, in a thread of its own, so that a hanging file system does not block anything else."""
        now = self._clock.steady()
        waiting_too = now - self._looked_at_waiting >= LOOK_AT_WAITING
        if waiting_too:
            self._looked_at_waiting = now
        with self._lock:
            records = [record for key in keys if (record := self._records.current(key)) is not None]
        for record in records:
            new = now - record.learned < LOOK_AT_WAITING
            if record.directory and not record.state.final and (record.state is JobState.RUNNING or new or waiting_too):
                reported = by_files(record, self._clock)
                if reported is not None and self._put(reported, instead_of=record):
                    self._poller.poll_soon()
        self._save()
        return True

    def _with_result(self, before: JobRecord, after: JobRecord) -> JobRecord:
        """Return the record of an ended job according to its result, which may not be visible here yet."""
        now = self._clock.now()
        reported = by_files(after if before.started is None else replace(after, started=before.started), self._clock)
        if reported is not None and reported.state.final:
            return reported
        since = before.ended or now
        if now - since >= self._settings.result_late:
            return after
        # On the file systems of clusters, files may become visible late.
        waiting = "ended; waiting for its result"
        return replace(after, state=JobState.RUNNING, reason=waiting, exit_code=None, ended=since)

    # ---- querying the batch system ------------------------------------------------------------------------------

    def _ask(self, keys: Sequence[str]) -> bool:
        asked = self._clock.steady()
        jobs = self._queue.jobs()
        with self._lock:
            self.news(keys)  # a job may have ended while the query was running
        self._cancel_left_over(jobs)
        known = self._deduplicate(jobs, set(keys))
        changed, further = False, SECOND_SOURCES
        for key in keys:
            reported = known.get(key)
            if reported is not None:
                changed |= self._update(key, reported, asked)
            elif further > 0 and self._worth_asking(key, asked):
                further -= 1
                changed |= self._look_further(key, asked)
        self._save()
        return changed

    def _worth_asking(self, key: str, asked: float) -> bool:
        with self._lock:
            record = self._records.current(key)
        return record is None or not (record.state.final or record.learned > asked)

    def _look_further(self, key: str, asked: float) -> bool:
        """Ask the slower source about a job that has left the queue."""
        with self._lock:
            record = self._records.current(key)
        try:
            reported = None if record is None or not record.native_id else self._queue.details(record)
            return self._update(key, reported, asked) if reported is not None else self._count_miss(key, record)
        except SchedulerBusy as error:
            log.warning("job %s: %s", key, error)
            return False

    def _deduplicate(self, jobs: Iterable[JobRecord], keys: Collection[str]) -> dict[str, JobRecord]:
        """Return jobs by key; cancel unfinished duplicates, which arise when a reply comes late.

        Of several jobs with one key, prefer an unfinished one, then a running one, then the known one, then the oldest.
        """
        with self._lock:
            ours = {record.native_id for key in keys if (record := self._records.current(key)) is not None}

        def order(reported: JobRecord) -> tuple[object, ...]:
            return (
                reported.state.final,
                reported.state is not JobState.RUNNING,
                reported.native_id not in ours,
                reported.age,
            )

        found: dict[str, JobRecord] = {}
        for reported in sorted((reported for reported in jobs if reported.key in keys), key=order):
            if reported.key not in found:
                found[reported.key] = reported
            elif not reported.state.final:
                log.warning("job %s is in the queue twice; cancelling %s", reported.key, reported.native_id)
                self._queue.cancel(reported.native_id)
        return found

    def _cancel_left_over(self, jobs: Iterable[JobRecord]) -> None:
        """Cancel jobs that wait or run for an attempt that is over (requeued by the batch system, for example)."""
        for reported in jobs:
            with self._lock:
                record = self._records.current(reported.key)
            over = record is not None and record.state in (JobState.FAILED, JobState.LOST, JobState.CANCELLED)
            if over and not reported.state.final:
                log.warning("job %s is over, but %s is still queued; cancelling it", reported.key, reported.native_id)
                self._queue.cancel(reported.native_id)

    def _count_miss(self, key: str, known: JobRecord | None) -> bool:
        """Count an answer that does not include the job; after `MISSES` in a row without a result, the job is lost.

        If the job has a native id, `Queue.details` did not know it either.
        """
        now = self._clock.steady()
        reported = by_files(known, self._clock) if known is not None and known.directory else None
        if reported is not None:
            return self._put(reported)
        if known is not None and key in self._cancelled:
            self._cancelled.discard(key)
            return self._put(replace(known, state=JobState.CANCELLED, reason="cancelled", learned=now))
        with self._lock:
            if not self._records.missed(key):
                return True  # a change, so that the next query comes soon
        self.give_up(key)
        record = known or JobRecord(key)
        log.error("job %s (%s) is no longer known to %s", key, record.native_id, self.whom)
        reason = f"{self.whom} no longer knows the job"
        return self._put(replace(record, state=JobState.LOST, reason=reason, learned=now))

    def _update(self, key: str, reported: JobRecord, asked: float) -> bool:
        """Adopt what the batch system says, unless something newer is known."""
        with self._lock:
            known = self._records.current(key)
            if known is not None and (known.state.final or known.learned > asked):
                return False
            self._records.found(key)
        if reported.state is JobState.FAILED and reported.exit_code is None:
            reported = self._in_detail(reported)
        after = self.merged(known, reported, asked)
        if known is not None and after == replace(known, learned=after.learned):
            return False
        return self._put(after)

    def _in_detail(self, reported: JobRecord) -> JobRecord:
        try:
            found = self._queue.details(reported)
        except SchedulerBusy:
            return reported
        return reported if found is None else replace(found, directory=found.directory or reported.directory)

    # ---- memory -------------------------------------------------------------------------------------------------

    def _put(self, record: JobRecord, instead_of: JobRecord | None = None) -> bool:
        with self._lock:
            return not self._closed and self._records.put(record, instead_of)

    def _save(self) -> None:
        with self._lock:
            if self._records.changed and not self._closed:
                write_json(self._memory, {"version": 2, "tracks": self._records.saved()})
                self._records.changed = False

    def _remember(self) -> JobRecords:
        records = JobRecords(self._clock)
        try:
            records.restore([restored(values) for values in json.loads(self._memory.read_text())["tracks"]])
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s is corrupt (%s); asking %s about jobs by key", self._memory, error, self.whom)
        return records
