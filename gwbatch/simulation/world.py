"""A dispatcher in virtual time, which steps the real lanes, effect worker and job watcher one after the other.

Nothing waits in real time.  When no work is due, the clock jumps to the next time at which some is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.demo import pipelines
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.dispatcher.service import set_timers
from gwbatch.dispatcher.standby import StandbyKeeper
from gwbatch.dispatcher.watcher import JobWatcher
from gwbatch.dispatcher.workers import EffectWorker
from gwbatch.gracedb import GraceDB
from gwbatch.handlers.declarations import Lane
from gwbatch.jobs import result
from gwbatch.ledger import Ledger, in_force, leases, messages, timers
from gwbatch.ledger.messages import Incoming
from gwbatch.model import JobRequest
from gwbatch.orchestrator import load_handlers
from gwbatch.private import private_folder
from gwbatch.runtime import Runtime
from gwbatch.schedulers.standby import Crew, StandbyFolder, StandbyScheduler
from gwbatch.simulation import query
from gwbatch.simulation.pilots import SimulatedPilots
from gwbatch.simulation.pool import PoolScheduler, drawing
from gwbatch.simulation.scenario import Scenario
from gwbatch.simulation.server import Server
from gwbatch.simulation.stream import Arrival, Upload, arrivals

KEEP_EVERY = 10.0  # s between two looks after the pilots while nothing else happens
HEDGE, SILENCE = 1.0, 5.0  # s; irrelevant here, because a bell always reaches its pilot and heartbeats are never late
AFTERWARDS = 6 * 3600.0  # s after `duration` at which the simulation ends even if work is left
FACTS: dict[str, dict[str, Any]] = {
    "localize": {"has_distances": True, "has_coherence": True},
    "skymap-from-samples": {"has_distances": True, "has_coherence": False},
    "combine-skymaps": {"overlap_integral": 30.0, "disjoint": False},
}
OUTPUTS = {
    "em_bright.json": {"HasNS": 1.0, "HasRemnant": 1.0, "HasMassGap": 0.0},
    "p_astro.json": {"BNS": 0.99, "NSBH": 0.0, "BBH": 0.0, "Terrestrial": 0.01},
    "mchirp_source.json": {"bin_edges": [1.0, 2.0], "probabilities": [1.0]},
}


@dataclass
class World:
    """One simulation.

    Parameters
    ----------
    folder : Path
        Folder for the ledger, the sandbox's GraceDB and the jobs' directories.
    begin : float
        Start time of the simulation (Unix s).
    arrivals : sequence of Upload or Notice
        What arrives, in order of time.  If empty, the scenario's streams.
    on_progress : callable
        Called with the simulated seconds since the start.
    """

    scenario: Scenario
    policy: Policy
    profile: Profile
    folder: Path
    begin: float
    arrivals: Sequence[Arrival] = ()
    on_progress: Callable[[float], None] = lambda _: None
    pool: PoolScheduler = field(init=False)
    ledger: Ledger = field(init=False)

    def run(self) -> None:
        """Run the simulation until nothing is left to do, or until `AFTERWARDS` has passed."""
        private_folder(self.folder)
        server = Server(self.folder)
        self.ledger = Ledger(self.folder / "ledger.sqlite", create=True)
        try:
            self._start(server)
            self._live(server)
        finally:
            server.stop()

    def _start(self, server: Server) -> None:
        alerts = msgspec.structs.replace(self.profile.alerts, dry_run=True)
        profile = msgspec.structs.replace(self.profile, gracedb=server.settings, alerts=alerts)
        chance = random.Random(self.scenario.seed)
        self._clock = ManualClock(self.begin)
        self._effect, self._draw = self.scenario.effect, drawing(random.Random(self.scenario.seed))
        self.pool = PoolScheduler(self.scenario.pool, self._clock, chance, _leave_result, detectors=self._detectors)
        self._registry = load_handlers(self.policy, profile)
        self._carried = 0
        with self.ledger.transaction() as tx:
            lease = leases.acquire(tx, "dispatcher", self.begin)
            set_timers(tx, self._registry, self.begin)
            in_force.record(tx, self.policy, profile, self.begin)
        gracedb = GraceDB(server.client)
        self._pilots: dict[str, SimulatedPilots] = {}
        scheduler = StandbyScheduler(self.pool, self._crews(profile), self._clock)
        runtime = Runtime(
            self.ledger, self._registry, self.policy, profile, self.folder, self._clock, lease,
            lambda: scheduler, lambda: gracedb,
        )  # fmt: skip
        self._keeper = StandbyKeeper(runtime, scheduler) if profile.standby else None
        self._client, self._workers = gracedb.client, profile.effect_workers
        self._worker, self._watcher = EffectWorker(runtime), JobWatcher(runtime)
        self._lanes = [LaneWorker(name, runtime, self.folder / "at-hand") for name in Lane]

    def _detectors(self, key: str) -> str:
        rows = self.ledger.read(query("detectors_of_job"), (key.rpartition("/")[0],))
        return str(rows[0]["detectors"] or "") if rows else ""

    def _crews(self, profile: Profile) -> list[Crew]:
        """Return the crews of the profile's queues, whose pilots are simulated."""
        crews = []
        for queue, settings in profile.standby.items():
            folder = StandbyFolder(self.folder / "jobs" / "standby" / queue / "desk", self._clock.steady)
            pilots = SimulatedPilots(queue, folder.path, settings, self.pool, self._clock, _leave_result)
            self._pilots[queue] = self.pool.crews[queue] = pilots
            crews.append(Crew(queue, folder, "folder", pilots, frozenset(settings.kinds), HEDGE, SILENCE, self.pool))
        return crews

    def _live(self, server: Server) -> None:
        coming = [*(self.arrivals or arrivals(self.scenario, self.begin))]
        last = self.begin + self.scenario.duration + AFTERWARDS
        while True:
            while coming and coming[0].at <= self._clock.now():
                self._arrive(coming.pop(0))
            self._do_everything(server)
            self.on_progress(self._clock.now() - self.begin)
            moments = [one for one in (coming[0].at if coming else None, *self._moments()) if one is not None]
            if (not coming and not self._is_busy()) or not moments or min(moments) > last:
                return
            self._clock.advance(max(0.0, min(moments) - self._clock.now()))

    def _arrive(self, one: Arrival) -> None:
        if isinstance(one, Upload):
            pipelines.upload(self._client, one.trigger, one.content)
            return
        with self.ledger.transaction() as tx:
            number = messages.next_offset(tx, one.listener, one.topic)
            incoming = Incoming(one.listener, one.topic, 0, number, one.content, one.at)
            messages.receive(tx, incoming, self._registry.lanes_for(one.topic), self._clock.now())

    def _do_everything(self, server: Server) -> None:
        """Do everything that is due at this moment."""
        self.pool.pass_time()
        is_busy = True
        while is_busy:
            with self.ledger.transaction() as tx:
                timers.fire_due(tx, self._clock.now())
            self._carry(server)
            steps = [lane.step() for lane in self._lanes]  # a list, so that any() does not skip a lane
            is_busy = any(steps)
            if self._worker.step():
                is_busy = True
                self._clock.advance(self._draw(self._effect) / self._workers)
            self._watcher.step()
            self._keep_pilots()

    def _keep_pilots(self) -> None:
        if self._keeper is None:
            return
        for pilots in self._pilots.values():
            pilots.live(self._clock.now())
        self._keeper.step()

    def _carry(self, server: Server) -> None:
        """Act as the listener: put GraceDB's new alerts into the ledger."""
        for number, topic, payload in server.store.alerts_after(self._carried):
            self._carried = number
            with self.ledger.transaction() as tx:
                incoming = Incoming("igwn-alert", topic, 0, number, payload.encode(), self._clock.now())
                messages.receive(tx, incoming, self._registry.lanes_for(topic), self._clock.now())

    def _moments(self) -> list[float | None]:
        """Return the next times at which the pool, a timer, an effect or a delivery needs attention."""
        rows = self.ledger.read(query("next_tries"))
        look = [self._clock.now() + KEEP_EVERY] if self._keeper is not None else []
        due = timers.next_due(self.ledger.connection)
        return [self.pool.next_moment(), due, *(row["at"] for row in rows), *look]

    def _is_busy(self) -> bool:
        """Return whether past events still cause work; repeating timers do not count."""
        return bool(self.pool.is_busy or self.ledger.read(query("anything_to_come")))


def _leave_result(request: JobRequest, started: float, finished: float) -> None:
    """Write a job's output and ``result.json`` with placeholder contents, as nothing was computed."""
    (name,) = (output for output in request.outputs if output != result.NAME)
    path = request.directory / name
    path.write_text(json.dumps(OUTPUTS[name]) if name in OUTPUTS else f"SIMPLE  = T, simulated: {request.key}")
    outputs = {name: {"sha256": result.sha256(path), "bytes": path.stat().st_size}}
    facts = FACTS.get(request.kind, {})
    value = {"key": request.key, "error": None, "outputs": outputs, "facts": facts, "host": "node", "cores": 1}
    result.write_json(request.directory / result.NAME, {**value, "started": started, "finished": finished})
