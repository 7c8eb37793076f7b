"""A simulated Fermi: a burst two seconds after the simulated merger, sent over Kafka as GCN sends it."""

from __future__ import annotations

from confluent_kafka import Producer

from gwbatch.errors import GwbatchError
from gwbatch.mdc import fermi_notice

TOPIC = "gcn.classic.voevent.FERMI_GBM_FIN_POS"
TRIGGER_ID = "367640054"
AFTER_MERGER = 2.0  # s
PATIENCE = 10.0  # s
PLACE = (278.2, 26.1)  # deg: near the simulated binary neutron star, some degrees away as Fermi would place it


def burst(merger: float) -> bytes:
    """Return the notice of a burst that follows a merger at GPS time `merger` (s)."""
    return fermi_notice(merger + AFTER_MERGER, TRIGGER_ID, *PLACE)


def send(bootstrap: str, notice: bytes) -> None:
    """Publish a notice on the broker."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    producer.produce(TOPIC, notice, partition=0)
    if producer.flush(PATIENCE):
        raise GwbatchError(f"Cannot send the notice: the broker at {bootstrap} did not take it in {PATIENCE:g} s.")
