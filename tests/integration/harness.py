"""A dispatcher stepped part by part, with the real GraceDB contract, a scripted batch system and a manual clock."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.clock import ManualClock
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import NOTICE_TOPICS, GraceDBSettings, ListenerSettings, Profile, Resources
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.dispatcher.watcher import JobWatcher
from gwbatch.dispatcher.workers import EffectWorker
from gwbatch.external.voevent import VOEvent
from gwbatch.gracedb import GraceDB, make_client
from gwbatch.handlers.declarations import Lane
from gwbatch.jobs import result
from gwbatch.ledger import Ledger, effects, leases, messages
from gwbatch.ledger.messages import Incoming
from gwbatch.model import JobRequest
from gwbatch.orchestrator import load_handlers
from gwbatch.runtime import Once, Runtime
from gwbatch.schedulers.simulated import SimulatedScheduler
from gwbatch.simulation.server import Server

FACTS: dict[str, dict[str, Any]] = {
    "localize": {"has_distances": True, "has_coherence": True},
    "skymap-from-samples": {"has_distances": True, "has_coherence": False},
    "combine-skymaps": {"overlap_integral": 32.4, "disjoint": False},
}
MAP = "bayestar.multiorder.fits"


def write_result(request: JobRequest, facts: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> None:
    """Write what a job leaves behind."""
    (output,) = (name for name in request.outputs if name != result.NAME)
    outputs = {}
    if error is None:
        (request.directory / output).write_text(f"{request.kind} of {request.key}")
        outputs = {output: {"sha256": result.sha256(request.directory / output), "bytes": 1}}
    value = {"key": request.key, "error": error, "outputs": outputs, "facts": facts or {}, "host": "node", "cores": 2}
    result.write_json(request.directory / result.NAME, {**value, "started": 1.0, "finished": 2.0})


def well(request: JobRequest) -> None:
    """Let every job succeed. BAYESTAR maps have distances and a coherence factor, and overlap external maps."""
    write_result(request, FACTS.get(request.kind))


class Harness:
    """Everything between the listener and the batch system, stepped by the test."""

    def __init__(
        self, folder: Path, server: Server, policy: Policy | None = None, work: Callable[[JobRequest], None] = well,
        now: float | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.server = folder, server
        self.clock = ManualClock(time.time() if now is None else now)
        self.policy = policy or load_policy()
        queue = Resources(queue_deadline=100.0, run_deadline=50.0, held_deadline=20.0)
        topics = [*NOTICE_TOPICS, "gcn.notices.einstein_probe.wxt.alert", "gcn.notices.chime.frb"]
        self.profile = Profile(
            gracedb=GraceDBSettings(server.url, "none"), queues={"openmp": queue, "general": queue},
            listeners={"gcn": ListenerSettings(kind="gcn", topics=topics)},
        )  # fmt: skip
        self.scheduler = SimulatedScheduler(self.clock, work=work)
        self.ledger = Ledger(folder / "ledger.sqlite", create=True)
        self.registry = load_handlers(self.policy, self.profile)
        self._carried = 0
        self.restart()

    def restart(self) -> None:
        """Start again, as a dispatcher does after a crash."""
        with self.ledger.transaction() as tx:
            self.lease = leases.acquire(tx, "dispatcher", self.clock.now())
            effects.requeue_running(tx)
        gracedb = Once(lambda: GraceDB(make_client(self.profile.gracedb)))
        self.runtime = Runtime(
            self.ledger, self.registry, self.policy, self.profile, self.folder, self.clock, self.lease,
            lambda: self.scheduler, gracedb,
        )  # fmt: skip
        self.worker = EffectWorker(self.runtime)
        self.watcher = JobWatcher(self.runtime)
        self.lanes = [LaneWorker(name, self.runtime, self.folder / "notes") for name in Lane]

    def carry(self, *, lose: Sequence[str] = ()) -> None:
        """Act as the listener, and move alerts from the server's outbox into the ledger."""
        for seq, topic, payload in self.server.store.alerts_after(self._carried):
            self._carried = seq
            with self.ledger.transaction() as tx:
                incoming = Incoming("igwn-alert", topic, 0, seq, payload.encode())
                messages.receive(tx, incoming, self.registry.lanes_for(topic), self.clock.now())

    def step(self) -> bool:
        """Step each part once."""
        self.carry()
        busy = [lane.step() for lane in self.lanes]
        busy.append(self.worker.step())
        self.watcher.step()
        return any(busy)

    def settle(self, seconds: float = 30.0) -> None:
        """Step until nothing more happens and at least `seconds` have passed."""
        end = self.clock.now() + seconds
        while self.step() or self.clock.now() < end:
            self.clock.advance(0.5)

    def upload(
        self, graceid_of: str = "gstlal", *, nature: bool = True, content: bytes | None = None, far: float = 1e-9
    ) -> str:
        """Act as a search pipeline: upload an event, and return its ID."""
        from gwbatch.config.resources import example_event
        from gwbatch.demo.pipelines import CLASSIFICATION, with_far

        content = content or with_far(example_event("bns_hlv").read_bytes(), far)
        made = self.server.client.create_event("CBC", graceid_of, "coinc.xml", search="AllSky", filecontents=content)
        graceid = str(made.json()["graceid"])
        of_its_nature = {"p_astro.json": CLASSIFICATION["bns_hlv"], "em_bright.json": {"HasNS": 1.0, "HasRemnant": 1.0}}
        for name, value in of_its_nature.items() if nature else ():
            self.server.client.write_log(graceid, name, filename=name, filecontents=json.dumps(value))
        return graceid

    def notice(self, payload: bytes, topic: str = "", source: str = "gcn") -> None:
        """Act as GCN, and deliver a notice."""
        topic = topic or VOEvent(payload).topic
        with self.ledger.transaction() as tx:
            offset = tx.execute("SELECT count(*) FROM messages WHERE source = ?", (source,)).fetchone()[0]
            incoming = Incoming(source, topic, 0, offset, payload)
            messages.receive(tx, incoming, self.registry.lanes_for(topic), self.clock.now())

    def deliver(self, topic: str, payload: bytes, published: float) -> None:
        """Let the lanes handle one alert that was published at a given Unix time (s)."""
        with self.ledger.transaction() as tx:
            offset = tx.execute("SELECT count(*) FROM messages WHERE source = 'late'").fetchone()[0]
            incoming = Incoming("late", topic, 0, offset, payload, published)
            messages.receive(tx, incoming, self.registry.lanes_for(topic), self.clock.now())
        for lane in self.lanes:
            while lane.step():
                pass

    def externals(self) -> list[dict[str, Any]]:
        """Return the server's external events, including tests, in the order of their IDs."""
        found = [*self.server.client.events("External"), *self.server.client.events("External MDC")]
        return sorted([*found, *self.server.client.events("group: Test")], key=lambda event: str(event["graceid"]))

    def superevents(self) -> list[dict[str, Any]]:
        return list(self.server.client.superevents("category: Production"))

    def files(self, name: str) -> list[str]:
        return sorted(
            entry["filename"] for entry in self.server.client.files(name).json()["files"] if "," in entry["filename"]
        )

    def states(self, table: str) -> dict[str, str]:
        return {row["key"]: row["state"] for row in self.ledger.read(f"SELECT key, state FROM {table}")}

    def dead(self) -> list[str]:
        rows = self.ledger.read("SELECT reason FROM deliveries WHERE state = 'dead'")
        rows += self.ledger.read("SELECT error FROM effects WHERE state = 'dead'")
        return [str(row[0]) for row in rows]

    def logs(self, name: str) -> list[str]:
        return [entry["comment"] for entry in self.server.client.logs(name).json()["logs"]]

    def with_annotation(self, **changes: Any) -> None:
        self.policy = msgspec.structs.replace(
            self.policy, annotation=msgspec.structs.replace(self.policy.annotation, **changes)
        )
        self.restart()


def payload_of(alert: dict[str, Any]) -> bytes:
    return json.dumps(alert).encode()
