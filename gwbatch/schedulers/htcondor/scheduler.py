"""HTCondor behind the interface of every batch system."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from gwbatch.config.profile import SchedulerSettings
from gwbatch.failpoints import hit
from gwbatch.jobs.result import read_result
from gwbatch.model import JobReport, JobRequest, JobState
from gwbatch.schedulers.asking import Asking
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.htcondor.follower import Follower
from gwbatch.schedulers.htcondor.schedd import Ad, Schedd, constraint
from gwbatch.schedulers.htcondor.tracks import Track, ending
from gwbatch.schedulers.identity import identity
from gwbatch.schedulers.interpreter import interpreter
from gwbatch.schedulers.templates import job_script, render

MISSES = 2  # answers in a row that do not know a job, after which it is lost

log = logging.getLogger(__name__)


class Status(IntEnum):
    """``JobStatus`` in a job ad."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5
    TRANSFERRING_OUTPUT = 6
    SUSPENDED = 7


class HTCondorScheduler:
    """An HTCondor pool.

    Parameters
    ----------
    folder : Path
        Where the event log and what was read of it are kept.
    schedd : Schedd
        The way to the queue.
    """

    name = "htcondor"

    def __init__(self, folder: Path, settings: SchedulerSettings, schedd: Schedd) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._schedd = schedd
        self._log = folder / "events.log"
        self._identity = identity(folder)
        self._lock = threading.RLock()
        self._follower = Follower(self._log)
        self._misses: dict[str, int] = {}
        self._asking = Asking(self._ask, settings.ask_every, settings.ask_every)
        self._submitting = 0

    def submit(self, request: JobRequest) -> str:
        text = self.describe(request)
        hit("htcondor.before_submit")
        with self._lock:
            self._submitting += 1
        try:
            job = self._schedd.submit(text)
            hit("htcondor.after_submit")
        finally:
            with self._lock:
                self._submitting -= 1
        with self._lock:
            track = self._follower.tracks.get(job) or Track(request.key, job, seen=time.time())
            self._follower.put(replace(track, directory=str(request.directory)))
        return job

    def find(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        with self._lock:
            self._follower.read()
            known = {key for key in keys if self._follower.track(key) is not None}
        missing = [key for key in keys if key not in known]
        if missing:
            asked = time.time()
            self._learn(self._queue(), missing, asked, count_misses=False)
        with self._lock:
            tracks = {key: self._follower.track(key) for key in keys}
        return {key: track.report() for key, track in tracks.items() if track and track.state is not JobState.LOST}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobReport]:
        with self._lock:
            self._follower.read()
            self._follower.forget_all_but(keys, submitting=self._submitting > 0)
            if self._follower.doubled:
                self._follower.doubled = False
                self._asking.hurry(within=0.0)
            self._asking.if_due(keys)
            return {key: self._report(key) for key in keys}

    def cancel(self, key: str) -> None:
        self._schedd.act("remove", self._is(key))

    def release(self, key: str) -> None:
        self._schedd.act("release", self._is(key))

    def describe(self, request: JobRequest) -> str:
        return description(request, self._settings, self._log, self._identity)

    def close(self) -> None:
        with self._lock:
            self._follower.close()

    def _is(self, key: str) -> str:
        return constraint(GwbatchKey=key, GwbatchDispatcher=self._identity)

    def _report(self, key: str) -> JobReport:
        track = self._follower.track(key)
        if track is None:
            reason = self._asking.trouble or "not in the event log yet; the schedd is being asked"
            return JobReport(key, JobState.UNKNOWN, reason=reason)
        return track.report()

    # ---- the slow question to the schedd ------------------------------------------------------------------

    def _ask(self, keys: Sequence[str]) -> bool:
        asked = time.time()
        self._learn(self._queue(), keys, asked)
        return False  # the event log tells what changes; this is only for what it does not tell

    def _queue(self) -> list[Ad]:
        return self._schedd.queue(constraint(GwbatchDispatcher=self._identity))

    def _learn(self, ads: Sequence[Ad], keys: Sequence[str], asked: float, *, count_misses: bool = True) -> None:
        """Take over what the queue says, and look for the jobs that it does not know."""
        queued = self._once(ads)
        with self._lock:
            self._follower.read()
            for key in keys:
                if key in queued:
                    self._misses.pop(key, None)
                    self._take(_track(key, queued[key]), asked)
            gone = [key for key in keys if key not in queued and not self._ended_or_new(key, asked)]
        for key in gone if count_misses else ():
            self._miss(key)

    def _ended_or_new(self, key: str, asked: float) -> bool:
        track = self._follower.track(key)
        return track is not None and (track.state.final or track.seen > asked)

    def _miss(self, key: str) -> None:
        """A job that is not in the queue, and whose end the log did not tell.

        Its own result says how it ended.  Without one it is lost, when the queue did not know it more than once.
        The history is not asked: on a busy schedd that takes minutes, and it says less than the result.
        """
        with self._lock:
            track = self._follower.track(key) or Track(key, f"unknown {key}")
            if track.state.final:
                return
            if track.directory and read_result(Path(track.directory), key) is not None:
                self._follower.put(replace(track, state=JobState.DONE, reason="", seen=time.time()))
                return
            self._misses[key] = self._misses.get(key, 0) + 1
            if self._misses[key] < MISSES:
                return
        self._schedd.act("remove", self._is(key))  # should the answers have been wrong, it does not run beside the next
        with self._lock:
            self._misses.pop(key, None)
            log.error("job %s (%s) has vanished from the pool", key, track.job)
            lost = replace(track, state=JobState.LOST, reason="the schedd does not know it any more", seen=time.time())
            self._follower.put(lost)

    def _take(self, told: Track, asked: float) -> None:
        """What the schedd says counts, unless the log has said something newer meanwhile."""
        known = self._follower.track(told.key)
        if known is not None and (known.state.final or known.seen > asked):
            return
        if known is not None and known.job == told.job and known.state is told.state:
            return
        known = known if known is not None and known.job == told.job else told
        self._follower.put(
            replace(
                told, host=told.host or known.host, cores=known.cores, started=told.started or known.started,
                directory=known.directory or told.directory, told=known.told, seen=asked,
            )
        )  # fmt: skip

    def _once(self, ads: Sequence[Ad]) -> dict[str, Ad]:
        """The jobs by key; of two with one key (a reply that came too late) the older stays."""
        found: dict[str, Ad] = {}
        for ad in sorted(ads, key=lambda ad: (_leaving(ad), ad["ClusterId"], ad["ProcId"])):
            key = str(ad.get("GwbatchKey"))
            if key not in found:
                found[key] = ad
            elif not _leaving(ad):
                log.warning("job %s is in the queue twice; %s is removed", key, _job(ad))
                self._schedd.act("remove", f"ClusterId == {int(ad['ClusterId'])} && ProcId == {int(ad['ProcId'])}")
        return found


def description(request: JobRequest, settings: SchedulerSettings, event_log: Path, dispatcher: str) -> str:
    """The submit description of a job, from ``submit/openmp.sub`` or ``submit/general.sub``."""
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


def _leaving(ad: Ad) -> bool:
    return ad.get("JobStatus") in (Status.REMOVED, Status.COMPLETED)


def _job(ad: Ad) -> str:
    return f"{ad['ClusterId']}.{ad['ProcId']}"


def _track(key: str, ad: Ad) -> Track:
    """What an ad of the queue says."""
    status = ad.get("JobStatus")
    host = str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or "").rpartition("@")[2]
    started, directory = ad.get("JobStartDate") or None, str(ad.get("Iwd") or "")
    values: dict[str, Any] = {"started": started, "host": host, "directory": directory}
    match status:
        case Status.RUNNING | Status.TRANSFERRING_OUTPUT | Status.SUSPENDED:
            values["state"] = JobState.RUNNING
        case Status.REMOVED:
            reason = ad.get("RemoveReason") or "without a reason"
            values.update(state=JobState.FAILED, reason=f"removed from the queue: {reason}")
        case Status.COMPLETED:
            signal = ad.get("ExitSignal") if ad.get("ExitBySignal") is True else None
            code = ad.get("ExitCode") if signal is None else None
            values.update(ending(code if isinstance(code, int) else None, signal))
            values["finished"] = ad.get("CompletionDate") or None
        case Status.HELD:
            values.update(
                state=JobState.HELD, reason=str(ad.get("HoldReason") or "no reason"), code=ad.get("HoldReasonCode")
            )
        case _:
            values["state"] = JobState.QUEUED
    return Track(key, _job(ad), **values)
