"""An HTCondor pool behind the interface of every batch system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gwbatch.clock import Clock, SystemClock
from gwbatch.config.profile import SchedulerSettings
from gwbatch.model import JobRequest
from gwbatch.schedulers.dispatcher_id import dispatcher_id
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.htcondor.event_log import EventLog
from gwbatch.schedulers.htcondor.queue import HTCondorQueue
from gwbatch.schedulers.htcondor.schedd import Schedd
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.poller import Poller
from gwbatch.schedulers.polling import PollingScheduler
from gwbatch.schedulers.records import JobRecord, JobRecords
from gwbatch.schedulers.templates import job_script, render


class HTCondorScheduler(PollingScheduler):
    """An HTCondor pool, followed through its event log; the queue is queried only for what the log does not tell.

    Parameters
    ----------
    folder : Path
        Where the event log and the reader's saved state are kept.
    schedd : Schedd
        Access to the queue.
    """

    name, whom = "htcondor", "the schedd"

    def __init__(self, folder: Path, settings: SchedulerSettings, schedd: Schedd, clock: Clock | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        clock = clock or SystemClock()
        self._log = folder / "events.log"
        self._identity = dispatcher_id(folder)
        self._event_log = EventLog(self._log, clock)
        self._ours = HTCondorQueue(schedd, self._identity)
        super().__init__(folder, settings, self._ours, clock)
        self._poller = Poller(self._ask, settings.ask_every, settings.ask_every, clock)
        self._submitting = 0

    def describe(self, request: JobRequest) -> str:
        return description(request, self._settings, self._log, self._identity)

    def submit(self, request: JobRequest) -> str:
        with self._lock:
            self._submitting += 1
        try:
            return super().submit(request)
        finally:
            with self._lock:
                self._submitting -= 1

    def cancel(self, key: str) -> None:
        self._ours.act("remove", key)

    def release(self, key: str) -> None:
        self._ours.act("release", key)

    def give_up(self, key: str) -> None:
        self.cancel(key)

    def news(self, keys: Sequence[str]) -> None:
        self._event_log.read()
        if self._submitting == 0:
            self._event_log.begin_anew_if_long()

    def merged(self, known: JobRecord | None, reported: JobRecord, asked: float) -> JobRecord:
        before = known if known is not None and known.native_id == reported.native_id else reported
        if known is before and known.state is reported.state:
            return known  # the log has given a better reason
        return replace(
            reported, host=reported.host or before.host, cores=before.cores, started=reported.started or before.started,
            directory=before.directory or reported.directory, event_time=before.event_time, learned=asked,
        )  # fmt: skip

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._event_log.close()

    def _remember(self) -> JobRecords:
        return self._event_log.records

    def _save(self) -> None:
        """Leave saving to the event log's reader, which saves the records together with its position in the log."""


def description(request: JobRequest, settings: SchedulerSettings, event_log: Path, dispatcher: str) -> str:
    """Render the submit description of a job, from ``submit/openmp.sub`` or ``submit/general.sub``."""
    return render(
        f"{request.queue}.sub",
        job=request,
        resources=request.resources,
        settings=settings,
        script=job_script(),
        python=interpreter(settings),
        environment=job_environment(settings),
        log=event_log,
        identity=dispatcher,
    )
