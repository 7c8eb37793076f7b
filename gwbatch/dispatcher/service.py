"""The dispatcher as a whole: threads that step lanes, effects, jobs and timers until it stops."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gwbatch.alerts import encoding
from gwbatch.annotation import check_names, not_made
from gwbatch.clock import Clock, GuardedClock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.detchar import frames
from gwbatch.dispatcher.cleaning import Cleaner
from gwbatch.dispatcher.clock_keeper import ClockKeeper
from gwbatch.dispatcher.examiner import Examiner
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.dispatcher.notifier import Notifier
from gwbatch.dispatcher.standby import StandbyKeeper
from gwbatch.dispatcher.supervisor import Supervisor
from gwbatch.dispatcher.wake_up import IDLE, Lookout, WakeUp
from gwbatch.dispatcher.watcher import JobWatcher
from gwbatch.dispatcher.workers import EffectWorker
from gwbatch.errors import LedgerBusy
from gwbatch.executors.gracedb import warm_up
from gwbatch.executors.notices.publishing import connect
from gwbatch.failpoints import hit
from gwbatch.gracedb import GraceDB, make_client
from gwbatch.handlers.declarations import Lane
from gwbatch.handlers.registry import Registry
from gwbatch.jobs import multi_order
from gwbatch.jobs.catalogue import computation, computations
from gwbatch.jobs.waveforms import WITHOUT_ROM_DATA, has_rom_data
from gwbatch.ledger import Ledger, Transaction, effects, in_force, leases, timers
from gwbatch.private import private_folder
from gwbatch.runtime import Once, Runtime
from gwbatch.schedulers import Scheduler, runs_here
from gwbatch.schedulers.environment import job_environment
from gwbatch.schedulers.standby import StandbyScheduler

log = logging.getLogger(__name__)

WATCH = 0.05  # s between polls of running jobs
HOUSEKEEPING = 0.2  # s between checks of listeners and timers
HANDLER_LIMIT = 300.0  # s after which a handler counts as hung
EXIT_HANGING = 70
HEARTBEAT = 5.0  # s between heartbeats of the lease
DISPATCHER = "dispatcher"
MAY_BE_CUT_OFF = ("warm-up-gracedb", "warm-up-brokers", "cleaning", "checks")  # threads that shutdown does not wait for
DAY = 86400.0


def set_timers(tx: Transaction, registry: Registry, now: float) -> None:
    """Set the timers of periodic handlers, and cancel those whose handler no longer exists."""
    repeating = {topic: handler for handler in registry.handlers() if handler.interval for topic in handler.topics}
    for key in timers.repeating(tx):
        if key not in repeating:
            timers.cancel(tx, key)
    for topic, handler in repeating.items():
        timers.repeat(tx, topic, topic, handler.lane, handler.interval or 0.0, now)


def waveform_trouble(policy: Policy, profile: Profile) -> str:
    """Return a warning if jobs on this machine lack waveform data, else an empty string.

    ``gwbatch site check`` covers nodes elsewhere.
    """
    wish = policy.annotation.parameters.get("localize", {}).get("waveform", "auto")
    folders = job_environment(profile.scheduler).get("LAL_DATA_PATH", os.environ.get("LAL_DATA_PATH", ""))
    if wish != "auto" or not runs_here(profile) or has_rom_data(folders):
        return ""
    return WITHOUT_ROM_DATA


class Dispatcher:
    """One dispatcher on one state directory.

    Raises
    ------
    AlreadyRunning
        When another dispatcher already runs on it.
    ConfigError
        When the policy assigns a product to a job that does not exist, or names a product that does not exist.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        policy: Policy,
        profile: Profile,
        scheduler: Callable[[], Scheduler],
        state: Path,
        listeners: Mapping[str, Sequence[str]],
        clock: Clock | None = None,
    ) -> None:
        # Import before any thread runs, because threads that import at the same time interfere with each other.
        computations()
        if profile.alerts.mode != "off":
            encoding.warm_up()
            multi_order.warm_up()
        if profile.alerts.has_frames:
            frames.warm_up()
        for job in policy.annotation.made_by.values():
            computation(job)
        check_names(policy.annotation)
        self.clock = clock or GuardedClock()
        self._cleaner = Cleaner(profile.job_folder(state), profile.keep_days * DAY, self.clock)
        self.ledger = ledger
        private_folder(profile.job_folder(state))
        with ledger.transaction() as tx:
            self.lease = leases.acquire(tx, DISPATCHER, self.clock.now())
            unfinished = effects.requeue_running(tx)
            set_timers(tx, registry, self.clock.now())
            in_force.record(tx, policy, profile, self.clock.now())
            trouble = waveform_trouble(policy, profile)
            in_force.note_waveform_data(tx, trouble, self.clock.now())
            missing = not_made(policy, bool(profile.scheduler.em_bright))
            in_force.note_not_made(tx, missing, self.clock.now())
        for text in (trouble, *missing.values()):
            if text:
                log.warning("%s", text)
        if unfinished:
            log.info("the previous dispatcher left %d effects in progress; checking their outcome", unfinished)
        # Only the holder of the lease may touch the scheduler's own state.
        self.scheduler = scheduler()
        gracedb = Once(lambda: GraceDB(make_client(profile.gracedb)))
        self.runtime = Runtime(
            ledger, registry, policy, profile, state, self.clock, self.lease, lambda: self.scheduler, gracedb
        )
        self.watcher = JobWatcher(self.runtime)
        self.supervisor = Supervisor(listeners, ledger, state / "logs", self.clock)
        self.notifier = Notifier(self.runtime)
        self.wake_up = WakeUp(ledger)
        guarded = self.clock if isinstance(self.clock, GuardedClock) else None
        self._clock_keeper = ClockKeeper(ledger, self.lease, guarded) if guarded else None
        self.lanes = {name: LaneWorker(name, self.runtime, state / "at-hand") for name in Lane}
        self._threads = self._plan_threads(profile)
        self._stop = threading.Event()
        self._asked = False
        self._crash: BaseException | None = None

    def _plan_threads(self, profile: Profile) -> list[tuple[str, Callable[[], None]]]:
        def stepping(step: Callable[[], bool]) -> Callable[[], None]:
            lookout = Lookout(self.wake_up)
            return lambda: self._step_until_stopped(step, lookout)

        threads: list[tuple[str, Callable[[], None]]] = [("wake-up", lambda: self.wake_up.run(self._stop))]
        threads += [(f"lane-{name}", stepping(self.lanes[name].step)) for name in Lane if name.serial]
        threads += [
            (f"lane-general-{n}", stepping(self.lanes[Lane.GENERAL].step)) for n in range(profile.general_workers)
        ]
        work_off_effects = stepping(EffectWorker(self.runtime).step)
        threads += [(f"effects-{n}", work_off_effects) for n in range(profile.effect_workers)]
        threads += [("jobs", self._watch), ("warm-up-gracedb", partial(warm_up, self.runtime))]
        if profile.alerts.mode != "off":
            threads.append(("warm-up-brokers", partial(connect, profile)))
        threads.append(("cleaning", lambda: self._cleaner.run(self._stop)))
        threads.append(("checks", stepping(Examiner(self.runtime).step)))
        if isinstance(self.scheduler, StandbyScheduler):
            threads.append(("standby", stepping(StandbyKeeper(self.runtime, self.scheduler).step)))
        if self.notifier.wanted:
            threads.append(("notifier", stepping(self.notifier.step)))
        return threads

    def run(self) -> None:
        """Work until `stop` is called.

        Raises
        ------
        LeaseLost
            When another dispatcher took over.
        """
        threads = [
            threading.Thread(target=self._guard, args=(target,), name=name, daemon=True)
            for name, target in self._threads
        ]
        for thread in threads:
            thread.start()
        log.info("dispatcher ready")
        try:
            self._guard(self._keep_house)
        finally:
            self.stop()
            self.supervisor.stop()
            for thread in threads:
                if thread.name not in MAY_BE_CUT_OFF:
                    thread.join(timeout=60.0)
            self.scheduler.close()
            try:
                with self.ledger.transaction() as tx:
                    leases.release(tx, self.lease)
            except LedgerBusy as error:
                log.warning("cannot release the lease; the next dispatcher will find this process gone: %s", error)
        if self._crash is not None:
            raise self._crash

    def ask_to_stop(self) -> None:
        """Request a stop without taking a lock, so that a signal handler can call this."""
        self._asked = True

    def stop(self) -> None:
        """Begin nothing new; finish and record the work in progress."""
        self._stop.set()
        self.wake_up.wake()

    def _guard(self, target: Callable[[], None]) -> None:
        """End the whole process when a thread fails, because half a dispatcher is worse than a restart."""
        try:
            target()
        except BaseException as error:
            if not self._stop.is_set():
                log.critical("%s failed: %s", threading.current_thread().name, error, exc_info=True)
                self._crash = error
            self.stop()

    def _step_until_stopped(self, step: Callable[[], bool], lookout: Lookout) -> None:
        while not self._stop.is_set():
            seen = self.wake_up.generation
            try:
                while step() and not self._stop.is_set():
                    pass
            except LedgerBusy as error:
                log.warning("%s", error)
                self._stop.wait(IDLE)
            lookout.wait(seen)

    def _watch(self) -> None:
        while not self._stop.is_set():
            seen = self.wake_up.generation
            try:
                busy = self.watcher.step()
            except LedgerBusy as error:
                log.warning("%s", error)
                busy = True
            if busy:
                self._stop.wait(WATCH)
            else:
                self.wake_up.wait(seen, IDLE)

    def _keep_house(self) -> None:
        last_beat = float("-inf")
        while not self._asked and not self._stop.is_set():
            self._stop.wait(HOUSEKEEPING)
            self._watch_lanes()
            now = self.clock.steady()
            try:
                self.supervisor.step()
                if self._clock_keeper is not None:
                    self._clock_keeper.step()
                self._fire_timers()
                if now - last_beat >= HEARTBEAT:
                    with self.ledger.transaction() as tx:
                        leases.beat(tx, self.lease, self.clock.now())
                    last_beat = now
            except LedgerBusy as error:
                log.warning("%s", error)

    def _fire_timers(self) -> None:
        now = self.clock.now()
        due = timers.next_due(self.ledger.connection)
        if due is not None and due <= now:
            with self.ledger.transaction() as tx:
                leases.check(tx, self.lease)
                timers.fire_due(tx, now)
                hit("timers.before_commit")

    def _watch_lanes(self) -> None:
        """End the process if a handler hangs and blocks its lane; the next start counts a crash against the message."""
        for lane in self.lanes.values():
            if lane.busy_for > HANDLER_LIMIT:
                log.critical(
                    "a handler in lane %s has been running for %.0f s; ending the process", lane.name, lane.busy_for
                )
                self.supervisor.stop()
                os._exit(EXIT_HANGING)
