"""A scheduler around another one, which gives jobs to free pilots."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gwbatch.clock import Clock, SystemClock
from gwbatch.failpoints import hit
from gwbatch.jobs.result import read_result
from gwbatch.jobs.standby.layout import Beat, Task, task_name
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.schedulers.base import Scheduler
from gwbatch.schedulers.standby.bells import Bell
from gwbatch.schedulers.standby.folder import StandbyFolder

GLANCE = 0.005  # s between two checks of an offered task
LOOK_EVERY = 0.25  # s between two reads of the heartbeats
UNSAID = 5.0  # s within which a pilot's heartbeat must name a task that the pilot has claimed
GONE = 3.0  # s of silence after which a pilot whose job has stopped loses its tasks
RESULT_LATE = 60.0  # s to wait for the result of an ended child to become visible
KEPT_MISSED = 100
CALL = "call"  # announced to a new pilot to test the channel; there is no such task
FORGET = 600.0  # s to remember an ended task that nobody asks about

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crew:
    """The pilots of one queue.

    Attributes
    ----------
    channel : str
        ``folder`` or ``chirp``: how a pilot reaches the folder.
    bell : Bell or None
        Announces a task to a pilot; None if the pilots poll the inbox.
    kinds : frozenset of str
        Kinds of computation whose jobs go to pilots.
    hedge : float
        Seconds after which an unclaimed task is submitted as an ordinary job.
    silence : float
        Seconds without a heartbeat after which a pilot loses its tasks.
    pilots : Scheduler
        The scheduler that runs the pilots themselves as jobs.
    is_free : callable
        Returns whether a pilot may start a task now, because whole-node jobs on this machine take turns.
    """

    queue: str
    folder: StandbyFolder
    channel: str
    bell: Bell | None
    kinds: frozenset[str]
    hedge: float
    silence: float
    pilots: Scheduler
    is_free: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Missed:
    """A job, or a test call, that did not reach a pilot although the pilot had room."""

    queue: str
    key: str
    why: str


@dataclass
class _Warm:
    """A job that a pilot has, or had."""

    key: str
    crew: Crew
    name: str
    pilot: str
    directory: Path
    priority: int
    since: float  # s of the clock's steady time, like `asked`, the time of the last poll for this job
    asked: float
    outcome: JobStatus | None = None
    exit_seen: float | None = None


class StandbyScheduler:
    """A scheduler that gives jobs to free pilots, and everything else to the scheduler that it wraps.

    Parameters
    ----------
    inner : Scheduler
        The wrapped scheduler, which runs what no pilot takes.
    crews : sequence of Crew
        One for each queue that has pilots.
    """

    def __init__(self, inner: Scheduler, crews: Sequence[Crew], clock: Clock | None = None) -> None:
        self.name = inner.name
        self._clock = clock or SystemClock()
        self.crews = {crew.queue: crew for crew in crews}
        self._inner = inner
        self._lock = threading.RLock()
        self._warm: dict[str, _Warm] = {}
        self._cold: list[str] = []
        self._pilot_keys: list[str] = []
        self._pilot_reports: dict[str, JobStatus] = {}
        self._looked = float("-inf")
        self._polling = threading.Lock()
        self._uncertain: set[str] = set()
        self._missed: deque[Missed] = deque(maxlen=KEPT_MISSED)
        for crew in crews:
            for name, pilot, task in crew.folder.claims():
                self._adopt(crew, name, pilot, task)

    # ---- the Scheduler interface ------------------------------------------------------------------------------------

    def submit(self, request: JobRequest) -> str:
        crew = self.crews.get(request.queue)
        if crew is not None and request.kind in crew.kinds and request.key not in self._uncertain:
            warm = self._hand_over(crew, request)
            if warm is not None:
                return f"standby {warm.pilot}"
        native_id = self._inner.submit(request)
        self._uncertain.discard(request.key)
        return native_id

    def find(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        self._look()
        for key in keys:
            self._look_for(key)
        warm = {key: self._report(self._warm[key]) for key in keys if key in self._warm}
        rest = [key for key in keys if key not in warm]
        # Their first submission may still turn up in the batch system.  Submit them there again, not to a pilot,
        # because the inner scheduler can handle two jobs with one key.
        self._uncertain.update(rest)
        return {**(self._inner.find(rest) if rest else {}), **warm}

    def poll(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        self._look()
        with self._lock:
            warm = {key: self._warm[key] for key in keys if key in self._warm}
            self._cold = [key for key in keys if key not in warm]
        cold = self._poll_inner() if self._cold or self._shared_pilots() else {}
        asked = list(self._cold)
        with self._lock:
            self._cold = [key for key in asked if key not in cold or not cold[key].state.final]
        reported = {key: self._report(one) for key, one in warm.items()}
        for one in warm.values():
            one.asked = self._clock.steady()
        self._tidy()
        return {**{key: cold[key] for key in asked if key in cold}, **reported}

    def cancel(self, key: str) -> None:
        self._look_for(key)
        warm = self._warm.get(key)
        if warm is None:
            self._inner.cancel(key)
        elif warm.outcome is None:
            warm.crew.folder.revoke(warm.name, warm.pilot)
            warm.outcome = JobStatus(key, JobState.FAILED, reason="cancelled", native_id=f"standby {warm.pilot}")

    def release(self, key: str) -> None:
        if key not in self._warm:
            self._inner.release(key)

    def describe(self, request: JobRequest) -> str:
        return self._inner.describe(request)

    def close(self) -> None:
        for scheduler in self._schedulers():
            scheduler.close()

    # ---- pilots as jobs ---------------------------------------------------------------------------------------------

    def poll_pilots(self, keys: Sequence[str]) -> Mapping[str, JobStatus]:
        """Return the status of the pilots' own jobs, with one query to the inner scheduler for all jobs."""
        of_crew = {
            crew.queue: [key for key in keys if key.startswith(f"standby/{crew.queue}/")] for crew in self._all()
        }
        with self._lock:
            self._pilot_keys = [
                key for crew in self._all() if crew.pilots is self._inner for key in of_crew[crew.queue]
            ]
        self._look()
        self._tidy()
        self._poll_inner()
        for crew in self._all():
            if crew.pilots is not self._inner:
                self._pilot_reports.update(crew.pilots.poll(of_crew[crew.queue]))
        return {key: self._pilot_reports[key] for key in keys if key in self._pilot_reports}

    def _poll_inner(self) -> Mapping[str, JobStatus]:
        with self._polling:  # the watcher and the keeper of the pilots both poll
            with self._lock:
                pilots = self._pilot_keys if self._shared_pilots() else []
                asked = [*self._cold, *pilots]
            reports = self._inner.poll(asked) if asked else {}
        self._pilot_reports.update({key: reports[key] for key in pilots if key in reports})
        return reports

    def _shared_pilots(self) -> bool:
        return any(crew.pilots is self._inner for crew in self.crews.values()) and bool(self._pilot_keys)

    def _all(self) -> list[Crew]:
        return [*self.crews.values()]

    def _schedulers(self) -> list[Scheduler]:
        found = [self._inner]
        found += [crew.pilots for crew in self.crews.values() if all(crew.pilots is not one for one in found)]
        return found

    # ---- giving tasks to pilots -------------------------------------------------------------------------------------

    def _hand_over(self, crew: Crew, request: JobRequest) -> _Warm | None:
        """Offer a job to the free pilots; return None if none has claimed it in time."""
        with self._lock:
            known = self._warm.get(request.key)
        if known is not None:
            return known
        try:
            free = self._free(crew, request)
            if not free or not crew.is_free():
                return None
        except Exception:
            log.exception("cannot look for a free pilot; submitting job %s instead", request.key)
            return None
        name = task_name(request.key)
        files = list(request.inputs), list(request.outputs)
        task = Task(request.key, request.kind, str(request.directory), *files, request.priority)
        hit("standby.before_offer")
        try:
            crew.folder.offer(name, task)
        except OSError as error:
            # The task may be in the inbox all the same, so it is withdrawn like any other.
            why = f"it cannot be offered to pilots: {error}"
        else:
            hit("standby.offered")
            why = self._tell(crew, free, name)
        if crew.folder.withdraw(name):
            why = why or f"no pilot took it within {crew.hedge:g} s"
            log.warning("job %s is submitted, although pilots are free: %s", request.key, why)
            self._note_missed(crew, free, request.key, why)
            return None
        hit("standby.claimed")
        pilot = next((beat.pilot for beat in free if crew.folder.has_claimed(name, beat.pilot)), None)
        return self._adopt(crew, name, pilot, task) if pilot else self._look_for(request.key)

    def _free(self, crew: Crew, request: JobRequest) -> list[Beat]:
        """Return the live pilots that have room, those with the most room first.

        A task that we know to have ended counts as room, even before the next heartbeat says so.
        """
        with self._lock:
            over = {warm.name for warm in self._warm.values() if warm.outcome is not None}
            avoid = {host.partition(".")[0] for host in request.avoid}
            beats = [beat for beat in crew.folder.look() if not beat.leaving and not avoid & self._short_names(beat)]
            room = {beat.pilot: beat.room + len(over & beat.tasks.keys()) for beat in beats}
            fresh = [beat for beat in beats if (crew.folder.silence(beat.pilot) or 0.0) <= crew.silence]
        return sorted((beat for beat in fresh if room[beat.pilot]), key=lambda beat: -room[beat.pilot])

    def _tell(self, crew: Crew, free: Sequence[Beat], name: str) -> str:
        """Announce a task to pilots until one has claimed it, and return why a pilot could not be reached."""
        end, why = self._clock.steady() + crew.hedge, ""
        if crew.bell is not None:
            for beat in free:
                left = end - self._clock.steady()
                if left <= 0 or not crew.folder.offered(name):
                    break
                why = crew.bell.ring(beat, name, left) or why
        else:
            while crew.folder.offered(name) and self._clock.steady() < end:
                self._clock.sleep(GLANCE)
        return why

    def call(self, crew: Crew, pilot: Beat) -> None:
        """Test the channel to a new pilot, so that a blocked one is noticed before a job needs it."""
        why = "" if crew.bell is None else crew.bell.ring(pilot, CALL, crew.hedge)
        if why:
            log.warning("pilot %s is ready and cannot be reached: %s", pilot.job, why)
            self._note_missed(crew, [pilot], pilot.job, why)

    def take_missed(self) -> list[Missed]:
        """Return the jobs and test calls that have not reached a free pilot since the last call of this method."""
        return [self._missed.popleft() for _ in range(len(self._missed))]

    def _note_missed(self, crew: Crew, free: Sequence[Beat], key: str, why: str) -> None:
        """Note that free pilots were not reached, unless all are busy: heartbeats may be older than the last claim."""
        at_work = {pilot for _, pilot, task in crew.folder.claims() if not task.ended}
        if any(beat.pilot not in at_work for beat in free):
            self._missed.append(Missed(crew.queue, key, why))

    def _look_for(self, key: str) -> _Warm | None:
        """Return a job if a pilot has claimed it; withdraw it if it is still in the inbox."""
        with self._lock:
            if key in self._warm:
                return self._warm[key]
        name = task_name(key)
        for crew in self.crews.values():
            if crew.folder.withdraw(name):
                return None
            for other, pilot, task in crew.folder.claims():
                if other == name and task.key == key:
                    return self._adopt(crew, name, pilot, task)
        return None

    def _adopt(self, crew: Crew, name: str, pilot: str, task: Task) -> _Warm:
        now = self._clock.steady()
        with self._lock:
            warm = _Warm(task.key, crew, name, pilot, Path(task.directory), task.priority, now, now)
            return self._warm.setdefault(task.key, warm)

    # ---- the outcome of a task --------------------------------------------------------------------------------------

    def _look(self) -> None:
        now = self._clock.steady()
        with self._lock:
            if now - self._looked >= LOOK_EVERY:
                self._looked = now
                for crew in self.crews.values():
                    crew.folder.look()

    def _report(self, warm: _Warm) -> JobStatus:
        if warm.outcome is None:
            reported = self._judged(warm)
            if not reported.state.final:
                return reported
            warm.outcome = reported
        return warm.outcome

    def _judged(self, warm: _Warm) -> JobStatus:
        folder = warm.crew.folder
        beat = folder.last_beat(warm.pilot)
        if read_result(warm.directory, warm.key) is not None:
            return self._told(warm, beat, JobState.DONE)
        claim = folder.claim(warm.name, warm.pilot)
        if claim is None and not folder.has_claimed(warm.name, warm.pilot):
            return self._told(warm, beat, JobState.FAILED, "its claim by a pilot was revoked")
        if claim is not None and claim.ended:
            return self._without_result(warm, beat, claim)
        silence = folder.silence(warm.pilot)
        if silence is not None and silence <= (GONE if self._stopped(beat) else warm.crew.silence):
            started = beat is not None and warm.name in beat.tasks
            if started or self._clock.steady() - silence - warm.since <= UNSAID:
                return self._told(warm, beat, JobState.RUNNING)
            return self._revoked(warm, beat, "its pilot does not report it")
        return self._of_silent_pilot(warm, beat, silence)

    def _stopped(self, beat: Beat | None) -> JobStatus | None:
        """Return the status of a pilot's job, if the batch system says that it is not running any more."""
        job = self._pilot_reports.get(beat.job) if beat is not None else None
        stopped = job is not None and (job.state.final or job.state in (JobState.QUEUED, JobState.HELD))
        return job if stopped else None

    def _without_result(self, warm: _Warm, beat: Beat | None, claim: Task) -> JobStatus:
        """Wait for the result of a child that ended by itself, because a file system may show it late."""
        now = self._clock.steady()
        warm.exit_seen = warm.exit_seen or now
        by_itself = claim.exit_code is not None and claim.exit_code >= 0
        if by_itself and now - warm.exit_seen < RESULT_LATE:
            return self._told(warm, beat, JobState.RUNNING, "ended; waiting for its result.json")
        return self._told(warm, beat, JobState.FAILED, f"in a pilot: {claim.ended}")

    def _of_silent_pilot(self, warm: _Warm, beat: Beat | None, silence: float | None) -> JobStatus:
        """Revoke a silent pilot's task, so that another attempt runs.

        At worst this wastes work, because anything the pilot delivers later is ignored.
        """
        job = self._stopped(beat)
        if silence is None:
            return self._revoked(warm, beat, "its pilot has left")
        if job is not None:
            return self._revoked(warm, beat, f"its pilot has ended ({job.reason or job.state})")
        return self._revoked(warm, beat, f"its pilot has been silent for {silence:.0f} s")

    def _revoked(self, warm: _Warm, beat: Beat | None, why: str) -> JobStatus:
        log.error("revoking job %s from pilot %s: %s", warm.key, warm.pilot, why)
        warm.crew.folder.revoke(warm.name, warm.pilot)
        hit("standby.revoked")
        return self._told(warm, beat, JobState.FAILED, why)

    def _told(self, warm: _Warm, beat: Beat | None, state: JobState, reason: str = "") -> JobStatus:
        return JobStatus(
            warm.key, state, native_id=f"standby {warm.pilot}", reason=reason, host=self._host(beat),
            cores=beat.cores if beat else None, started=beat.tasks.get(warm.name) if beat else None,
        )  # fmt: skip

    def _host(self, beat: Beat | None) -> str:
        """Return the batch system's own name of a pilot's node, which a later attempt may have to avoid."""
        if beat is None:
            return ""
        job = self._pilot_reports.get(beat.job)
        return (job.host if job is not None else "") or beat.host

    def _short_names(self, beat: Beat) -> set[str]:
        return {host.partition(".")[0] for host in (beat.host, self._host(beat))}

    def _tidy(self) -> None:
        """Update unfinished tasks, even ones recorded before a restart that nobody polls, and forget old ended ones."""
        now = self._clock.steady()
        with self._lock:
            for key, warm in list(self._warm.items()):
                if warm.outcome is None:
                    self._report(warm)
                elif now - warm.asked > FORGET:
                    warm.crew.folder.forget(warm.name, warm.pilot)
                    del self._warm[key]

    def at_work(self, queue: str) -> list[int]:
        """Return the priorities of a queue's jobs that pilots are working on."""
        with self._lock:
            ours = [warm for warm in self._warm.values() if warm.crew.queue == queue]
            return [warm.priority for warm in ours if warm.outcome is None]
