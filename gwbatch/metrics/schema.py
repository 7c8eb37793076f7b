"""Every metric by name: kind, unit, labels, meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    unit : str
        As Grafana names it: ``s``, ``bytes``, ``short``, ``bool``.
    row : str
        The row of the dashboard.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    row: str
    labels: tuple[str, ...] = ()
    unit: str = "short"


METRICS = (
    Metric("gwbatch_dispatcher_up", "gauge", "1 while a dispatcher holds the lease and lives.", "Health", unit="bool"),
    Metric("gwbatch_dispatcher_starts_total", "counter", "Dispatchers that have held the lease.", "Health"),
    Metric("gwbatch_problems", "gauge", "Sentences that 'gwbatch status' says is wrong.", "Health"),
    Metric("gwbatch_disk_free_bytes", "gauge", "Free space of the state directory.", "Health", unit="bytes"),
    Metric("gwbatch_ledger_bytes", "gauge", "Size of the ledger.", "Health", unit="bytes"),
    Metric("gwbatch_listener_connected", "gauge", "1 while connected.", "Listeners", ("listener",), "bool"),
    Metric("gwbatch_listener_lag", "gauge", "Messages that the broker has and we lack.", "Listeners", ("listener",)),
    Metric(
        "gwbatch_listener_silence_seconds", "gauge", "Since the last message.", "Listeners", ("listener",), "s"
    ),
    Metric(
        "gwbatch_listener_missed_total", "counter", "Messages the broker dropped unread.", "Listeners", ("listener",)
    ),
    Metric("gwbatch_listener_restarts_total", "counter", "Restarts of the listener.", "Listeners", ("listener",)),
    Metric("gwbatch_messages_total", "counter", "Messages written down.", "Lanes"),
    Metric("gwbatch_lane_depth", "gauge", "Messages that wait.", "Lanes", ("lane",)),
    Metric("gwbatch_lane_oldest_seconds", "gauge", "Age of the oldest that waits.", "Lanes", ("lane",), "s"),
    Metric("gwbatch_dead_letters", "gauge", "Messages and effects that were given up.", "Lanes"),
    Metric("gwbatch_effects", "gauge", "Effects that are not done.", "Effects", ("state",)),
    Metric("gwbatch_effects_total", "counter", "Effects asked for.", "Effects"),
    Metric("gwbatch_effects_oldest_seconds", "gauge", "Age of the oldest that is not done.", "Effects", unit="s"),
    Metric("gwbatch_jobs", "gauge", "Jobs by state.", "Jobs", ("state",)),
    Metric(
        "gwbatch_whole_node_seconds_total", "counter", "Whole-node time by use: computing, or held idle.", "Jobs",
        ("use",), "s",
    ),
    Metric("gwbatch_pilots", "gauge", "Pilots: wanted, and ready.", "Jobs", ("queue", "what")),
    Metric(
        "gwbatch_pilot_seconds_total", "counter", "What pilots have told of their time.", "Jobs", ("queue", "use"), "s"
    ),
    Metric("gwbatch_alerts_stopped", "gauge", "1 while somebody has stopped public alerts.", "Alerts", unit="bool"),
    Metric("gwbatch_notices", "gauge", "Public notices by state.", "Alerts", ("state",)),
    Metric("gwbatch_notices_undelivered", "gauge", "Public notices that a broker still lacks.", "Alerts", ("broker",)),
    Metric(
        "gwbatch_notice_oldest_seconds", "gauge", "Age of the oldest notice that is on its way.", "Alerts", unit="s"
    ),
    Metric("gwbatch_superevents_total", "counter", "Superevents made.", "Science"),
    Metric("gwbatch_external_events", "gauge", "External events.", "Science"),
    Metric("gwbatch_coincidences", "gauge", "External events that coincide with a superevent.", "Science"),
    Metric("gwbatch_stage_seconds", "histogram", "Time that each stage takes.", "Latency", ("stage",), "s"),
)  # fmt: skip
