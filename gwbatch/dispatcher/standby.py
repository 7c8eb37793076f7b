"""Upkeep of as many pilots as the policy wants."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.config.standby import Facts, StandbyPolicy, StandbySettings, wanted
from gwbatch.errors import GwbatchError, LeaseLost, LedgerBusy, backoff
from gwbatch.failpoints import hit
from gwbatch.jobs.result import NAME, read_result
from gwbatch.jobs.spec import REQUEST, write_request
from gwbatch.jobs.standby.layout import PilotSettings
from gwbatch.jobs.standby.pilot import KIND, parameters
from gwbatch.ledger import leases, standby
from gwbatch.ledger.standby import PilotJob
from gwbatch.model import JobRequest, JobState, JobStatus
from gwbatch.private import private_folder
from gwbatch.runtime import Runtime
from gwbatch.schedulers.standby import Crew, StandbyScheduler

STEP_EVERY = 1.0  # s
AGAIN = 10.0  # s before the next step after an unexpected error
OUTPUT = "pilot.json"
DAY = 86400.0
PRIORITY = -100  # a waiting pilot must not delay an alert's job
UNREADY = 10.0  # s before the next try after a pilot that never became ready; doubled each time
HANGS = 300.0  # s without a heartbeat after which a running pilot counts as hung
TAKES_LONG = 600.0  # s, the longest pause between two such tries

log = logging.getLogger(__name__)


class StandbyKeeper:
    """Requests pilots, dismisses those no longer wanted, and records their busy and idle time."""

    def __init__(self, runtime: Runtime, scheduler: StandbyScheduler) -> None:
        self._runtime, self._scheduler = runtime, scheduler
        self._next = float("-inf")
        self._tries: dict[str, int] = {}
        self._next_try: dict[str, float] = {}
        self._silent_since: dict[str, float] = {}

    def step(self) -> bool:
        """Look after the pilots once; always return False, because nothing here is urgent.

        Failures here do not stop the dispatcher, which then submits jobs without pilots.
        """
        if self._runtime.clock.steady() < self._next:
            return False
        self._next = self._runtime.clock.steady() + STEP_EVERY
        try:
            self._look()
        except (LeaseLost, LedgerBusy):
            raise
        except Exception:
            log.exception("cannot look after the pilots; trying again in %g s", AGAIN)
            self._next = self._runtime.clock.steady() + AGAIN
        return False

    def _look(self) -> None:
        pilots = standby.open_pilots(self._runtime.ledger.connection)
        try:
            reports = self._scheduler.poll_pilots([pilot.key for pilot in pilots if pilot.native_id])
            self._take(pilots, reports)
            self._note_missed()
        finally:  # the pilots need our heartbeat, even if the batch system does not answer
            for crew in self._scheduler.crews.values():
                self._keep(crew)

    def _keep(self, crew: Crew) -> None:
        now = self._runtime.clock.now()
        count, why = self._wanted(crew.queue)
        pilots = standby.open_pilots(self._runtime.ledger.connection, crew.queue)
        leave, missing = balance(pilots, count, self._settings(crew.queue), now)
        crew.folder.order([*leave, *self._strangers(crew, {pilot.key for pilot in pilots})])
        for pilot in pilots:
            if self._next_try.get(pilot.key, 0.0) > self._runtime.clock.steady():
                continue
            try:
                trouble = self._trouble(crew, pilot, pilot.key in leave, now)
                if trouble:
                    self._cancel(crew, pilot, trouble)
                elif not pilot.native_id:
                    self._submit(crew, pilot)
                self._tries.pop(pilot.key, None)
            except (GwbatchError, OSError) as error:
                if isinstance(error, LeaseLost | LedgerBusy):
                    raise
                self._tries[pilot.key] = self._tries.get(pilot.key, 0) + 1
                pause = backoff(self._tries[pilot.key], first=UNREADY, longest=TAKES_LONG)
                self._next_try[pilot.key] = self._runtime.clock.steady() + pause
                log.warning("pilot %s: %s", pilot.key, error)
        if missing and self._may_ask(crew.queue):
            log.info("requesting a pilot for %s jobs: %s", crew.queue, why)
            self._ask(crew)

    def _strangers(self, crew: Crew, known: set[str]) -> list[str]:
        """Return the jobs of pilots that the ledger does not know, and remove the heartbeats of those that are gone."""
        found = []
        for beat in crew.folder.look():
            if beat.job not in known:
                found.append(beat.job)
                if (crew.folder.silence(beat.pilot) or 0.0) > crew.silence:
                    crew.folder.bury(beat.pilot)
        return found

    def _trouble(self, crew: Crew, pilot: PilotJob, surplus: bool, now: float) -> str:
        """Return why to cancel a pilot's job, which wastes a node or a place in the queue; empty to keep it."""
        settings, resources = self._settings(crew.queue), self._runtime.profile.resources(crew.queue)
        if pilot.state == JobState.HELD:
            return f"it was held: {pilot.reason}"
        if pilot.state in (JobState.WAITING, JobState.QUEUED):
            if pilot.started is not None and not self._is_alive(crew, pilot):
                return "other work took its node, and its job went back to the queue"
            return "no longer needed" if surplus and pilot.ready is None else ""
        if pilot.state != JobState.RUNNING:
            return ""  # a missing answer is no reason to cancel
        if pilot.started is not None and now - pilot.started > settings.lifetime + resources.run_deadline:
            return "it did not leave at the end of its lifetime"
        if self._is_silent(crew, pilot):
            return "it has sent no heartbeat"
        return ""

    def _is_silent(self, crew: Crew, pilot: PilotJob) -> bool:
        """Return whether a running pilot has been silent for so long that it must hang, even with slow imports."""
        now = self._runtime.clock.steady()
        alive = self._is_alive(crew, pilot)
        since = now if alive else self._silent_since.setdefault(pilot.key, now)
        if alive:
            self._silent_since.pop(pilot.key, None)
        return now - since > HANGS

    @staticmethod
    def _is_alive(crew: Crew, pilot: PilotJob) -> bool:
        beats = [beat for beat in crew.folder.look() if beat.job == pilot.key]
        return any((crew.folder.silence(beat.pilot) or 0.0) <= crew.silence for beat in beats)

    def _cancel(self, crew: Crew, pilot: PilotJob, why: str) -> None:
        log.warning("cancelling pilot %s: %s", pilot.key, why)
        if pilot.native_id:
            crew.pilots.cancel(pilot.key)
        with self._runtime.ledger.transaction() as tx:
            leases.check(tx, self._runtime.lease)
            ended = JobStatus(pilot.key, JobState.CANCELLED, reason=why)
            standby.report(tx, pilot.key, ended, self._runtime.clock.now())

    def _wanted(self, queue: str) -> tuple[int, str]:
        """Return how many pilots a queue needs now, and why; record the number when it changes."""
        runtime = self._runtime
        count, why = wanted(runtime.policy.standby.get(queue, StandbyPolicy()), facts(runtime, queue))
        known = standby.wanted(runtime.ledger.connection).get(queue)
        if known is None or known["count"] != count:
            log.info("%d pilots are wanted for %s jobs: %s", count, queue, why)
            with runtime.ledger.transaction() as tx:
                leases.check(tx, runtime.lease)
                standby.note_wanted(tx, queue, count, why, runtime.clock.now())
        return count, why

    def _settings(self, queue: str) -> StandbySettings:
        return self._runtime.profile.standby[queue]

    def _may_ask(self, queue: str) -> bool:
        """Return whether a pilot may be requested now; each one that ended before it was ready lengthens the pause."""
        failures, last = standby.failures_in_a_row(self._runtime.ledger.connection, queue)
        pause = backoff(failures, first=UNREADY, longest=TAKES_LONG) if failures else 0.0
        return self._runtime.clock.now() - last >= pause

    def _ask(self, crew: Crew) -> None:
        runtime = self._runtime
        with runtime.ledger.transaction() as tx:
            leases.check(tx, runtime.lease)
            key = standby.request_pilot(
                tx, crew.queue, str(runtime.profile.job_folder(runtime.state)), runtime.clock.now()
            )
        hit("standby.pilot_planned")
        pilot = next(one for one in standby.open_pilots(runtime.ledger.connection, crew.queue) if one.key == key)
        self._submit(crew, pilot)

    def _submit(self, crew: Crew, pilot: PilotJob) -> None:
        """Submit a pilot, unless the batch system has it already."""
        known = crew.pilots.find([pilot.key])
        native_id = known[pilot.key].native_id if pilot.key in known else crew.pilots.submit(self._request(crew, pilot))
        hit("standby.pilot_submitted")
        with self._runtime.ledger.transaction() as tx:
            leases.check(tx, self._runtime.lease)
            standby.submitted(tx, pilot.key, native_id)

    def _request(self, crew: Crew, pilot: PilotJob) -> JobRequest:
        return pilot_request(
            crew,
            self._settings(crew.queue),
            pilot.key,
            Path(pilot.directory),
            self._runtime.profile,
            self._runtime.policy,
        )

    def _take(self, pilots: list[PilotJob], reports: Mapping[str, JobStatus]) -> None:
        """Record what is new about the pilots."""
        beats = {beat.job: beat for crew in self._scheduler.crews.values() for beat in crew.folder.look()}
        for pilot in pilots:
            seen, beat = reports.get(pilot.key), beats.get(pilot.key)
            changed = seen is not None and (seen.state, seen.reason or None) != (pilot.state, pilot.reason)
            told = beat is not None and (pilot.ready is None or beat.idle + beat.busy - pilot.idle - pilot.busy > 30.0)
            if not changed and not told and not (seen is not None and seen.state.final):
                continue
            with self._runtime.ledger.transaction() as tx:
                leases.check(tx, self._runtime.lease)
                if beat is not None:
                    standby.heartbeat(tx, pilot.key, beat.ready, beat.idle, beat.busy, beat.done)
                if seen is not None:
                    standby.report(tx, pilot.key, _timed(pilot, seen), self._runtime.clock.now())
            if beat is not None and pilot.ready is None:
                self._scheduler.call(self._scheduler.crews[pilot.queue], beat)
            if seen is not None and seen.state.final:
                log.info("pilot %s has ended (%s)", pilot.key, seen.reason or seen.state.lower())
                self._close(pilot)

    def _note_missed(self) -> None:
        for one in self._scheduler.take_missed():
            with self._runtime.ledger.transaction() as tx:
                leases.check(tx, self._runtime.lease)
                standby.note_missed(tx, one.queue, one.key, one.why, self._runtime.clock.now())

    def _close(self, pilot: PilotJob) -> None:
        """Record the times that an ended pilot has reported, and remove the directories of old ones."""
        result = read_result(Path(pilot.directory), pilot.key)
        facts = (result or {}).get("facts") or {}
        if pilot.ready is not None and {"idle", "busy", "tasks"} <= facts.keys():
            with self._runtime.ledger.transaction() as tx:
                leases.check(tx, self._runtime.lease)
                standby.heartbeat(tx, pilot.key, pilot.ready, facts["idle"], facts["busy"], facts["tasks"])
        keep = self._runtime.clock.now() - self._runtime.profile.keep_days * DAY
        for old in standby.ended_before(self._runtime.ledger.connection, keep):
            shutil.rmtree(old, ignore_errors=True)


def balance(pilots: list[PilotJob], count: int, settings: StandbySettings, now: float) -> tuple[list[str], int]:
    """Return the keys of the pilots that must leave, and how many pilots are missing.

    A pilot whose lifetime is nearly over gets a replacement before it leaves. If there are too many, those that are not
    ready yet leave first, then the youngest.
    """

    def leaves_soon(pilot: PilotJob) -> bool:
        return pilot.started is not None and now - pilot.started > settings.lifetime - settings.lead

    lasting = sorted((pilot for pilot in pilots if not leaves_soon(pilot)), key=lambda pilot: pilot.ready is None)
    surplus = [pilot.key for pilot in lasting[count:]]
    ready = sum(pilot.ready is not None for pilot in lasting[:count])
    # An ending pilot stays until its replacement is ready.
    ending = sorted((pilot for pilot in pilots if leaves_soon(pilot)), key=lambda pilot: pilot.ready is not None)
    surplus += [pilot.key for pilot in ending[: max(0, len(ending) - max(0, count - ready))]]
    return surplus, max(0, count - len(lasting))


def facts(runtime: Runtime, queue: str) -> Facts:
    """Return the facts that determine how many pilots a queue needs now."""
    connection, now = runtime.ledger.connection, runtime.clock.now()
    settings = runtime.profile.standby[queue]
    order = standby.ordered(connection, queue, now)
    last, waiting = standby.demand(connection, queue, settings.kinds)
    patience = settings.make_room_after
    return Facts(
        now, None if order is None else int(order["pilots"]), observing(settings.observing_file), last, waiting,
        standby.stuck(connection, queue, now - patience) if patience else 0, standby.node_hours(connection, queue, now),
    )  # fmt: skip


def observing(file: str) -> int:
    """Return how many detectors are observing, according to the site's file; 0 without a readable file."""
    try:
        return len(Path(file).read_text().replace(",", " ").split()) if file else 0
    except OSError:
        return 0


def pilot_request(
    crew: Crew, settings: StandbySettings, key: str, directory: Path, profile: Profile, policy: Policy
) -> JobRequest:
    """Return the request for a pilot's batch job, whose time limit covers its lifetime and one more task."""
    private_folder(directory)
    resources = profile.pilot_resources(crew.queue)
    orders = PilotSettings(
        str(crew.folder.path), crew.channel, settings.kinds, settings.room, settings.idle_limit, settings.lifetime,
        settings.orphaned_after, settings.tasks_limit,
        {kind: policy.annotation.parameters.get(kind, {}) for kind in settings.kinds},
    )  # fmt: skip
    write_request(directory, key, KIND, [], OUTPUT, parameters(key, orders), profile)
    limit = settings.lifetime + resources.run_deadline
    return JobRequest(
        key, KIND, crew.queue, directory, (REQUEST,), (OUTPUT, NAME),
        msgspec.structs.replace(resources, time_limit=limit), PRIORITY,
    )  # fmt: skip


def _timed(pilot: PilotJob, seen: JobStatus) -> JobStatus:
    """Return a pilot's status with its start time, which a scheduler that has lost track of it omits."""
    return seen if seen.started is not None or pilot.started is None else replace(seen, started=pilot.started)
