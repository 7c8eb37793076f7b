"""The chain of alerts without GraceDB or a broker: labels go in, and notices come out."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gwbatch.clock import ManualClock
from gwbatch.config.alerts import AlertSettings, BrokerSettings
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import Profile
from gwbatch.dispatcher.lanes import LaneWorker
from gwbatch.dispatcher.workers import EffectWorker
from gwbatch.executors.notices import publishing
from gwbatch.executors.notices.producer import Delivered
from gwbatch.handlers.declarations import Lane
from gwbatch.ledger import Ledger, leases, messages, timers
from gwbatch.ledger.messages import Incoming
from gwbatch.orchestrator import load_handlers
from gwbatch.runtime import Runtime

POLICY = load_policy()
EVENT = {
    "graceid": "G1", "group": "CBC", "pipeline": "gstlal", "search": "AllSky", "gpstime": 1e9, "far": 1e-12,
    "instruments": "H1,L1", "labels": ["PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"], "extra_attributes": {},
}  # fmt: skip


class Chain:
    """One superevent, driven by its labels."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(1.8e9)
        broker = BrokerSettings(bootstrap="127.0.0.1:9", topic="igwn.gwalert", format="json", categories=["production"])
        self.profile = Profile(alerts=AlertSettings(mode="all", brokers={"gcn": broker}))
        registry = load_handlers(POLICY, self.profile)
        self.ledger = Ledger(folder / "ledger.sqlite", create=True)
        with self.ledger.transaction() as tx:
            lease = leases.acquire(tx, "dispatcher", self.clock.now())
        nothing: Any = lambda: None  # noqa: E731
        self.runtime = Runtime(
            self.ledger, registry, POLICY, self.profile, folder, self.clock, lease, nothing, nothing
        )  # fmt: skip
        self.registry = registry
        self.lanes = [LaneWorker(name, self.runtime, folder / "notes") for name in Lane]
        self.worker = EffectWorker(self.runtime)
        self.labels: list[str] = []
        self.added: Counter[str] = Counter()
        self.sent: list[tuple[str, frozenset[str]]] = []
        self.identities: list[bytes] = []
        self._number = 0
        self._real = publishing.publisher
        publishing.publisher = lambda name, settings: self  # type: ignore[assignment]
        self._alert("new", "")

    # what the broker would do

    def turn(self) -> Any:
        return nullcontext()

    def partition_of(self, key: str) -> int:
        return 0

    def end_of(self, partition: int) -> int:
        return len(self.sent)

    def send(self, key: str, body: bytes, headers: dict[str, bytes], partition: int) -> Delivered:
        row = self.ledger.read("SELECT kind, decision FROM public_notices WHERE uid = ?", (_uid(headers["_id"]),))[0]
        self.sent.append((row["kind"], frozenset(json.loads(row["decision"])["labels"])))
        self.identities.append(headers["_id"])
        return Delivered(0, len(self.sent))

    # what people and other systems do

    def do(self, step: str) -> None:
        """Set a label (``DQV``), remove one (``-DQV``), or let time pass (``wait 300``)."""
        if step.startswith("wait"):
            for _ in range(10):
                self.clock.advance(float(step.split()[1]) / 10)
                self._settle()
        elif step.startswith("-"):
            if step[1:] in self.labels:
                self.labels.remove(step[1:])
                self._alert("label_removed", step[1:])
        elif step not in self.labels:
            self.labels.append(step)
            self.added[step] += 1
            self._alert("label_added", step)

    def _alert(self, kind: str, label: str) -> None:
        self._number += 1
        described = {
            "superevent_id": "S110914a", "category": "Production", "t_start": 1e9 - 1, "t_0": 1e9, "t_end": 1e9 + 1,
            "preferred_event": "G1", "preferred_event_data": EVENT, "gw_events": ["G1"], "labels": self.labels,
        }  # fmt: skip
        payload = {"alert_type": kind, "data": {"name": label, "created": str(self._number)}, "object": described}
        with self.ledger.transaction() as tx:
            incoming = Incoming("igwn-alert", "superevent", 0, self._number, json.dumps(payload).encode())
            messages.receive(tx, incoming, self.registry.lanes_for("superevent"), self.clock.now())
        self._settle()

    def _settle(self) -> None:
        for _ in range(200):
            with self.ledger.transaction() as tx:
                timers.fire_due(tx, self.clock.now())
            busy = [lane.step() for lane in self.lanes]
            if not any([*busy, self.worker.step()]):
                return

    def close(self) -> None:
        publishing.publisher = self._real
        self.ledger.close()


def _uid(identity: bytes) -> str:
    import uuid

    return str(uuid.UUID(bytes=identity))
