"""Reading the metrics from the ledger."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from gwbatch.ledger import Ledger, query
from gwbatch.ledger.public_notices import STATES
from gwbatch.ledger.report import report
from gwbatch.metrics.schema import METRICS, Metric

Sample = tuple[tuple[str, ...], float]


def exposition(ledger: Ledger | None, now: float) -> bytes:
    """All metrics in Prometheus' text format; without a ledger only that there is no dispatcher."""

    class Once(Collector):
        def collect(self) -> Iterable[Family]:
            return collect(ledger, now)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return generate_latest(registry)


def collect(ledger: Ledger | None, now: float) -> Iterator[Family]:
    """All metrics as families of samples."""
    samples = {"gwbatch_dispatcher_up": [((), 0.0)]} if ledger is None else dict(_samples(ledger, now))
    for metric in METRICS:
        if metric.kind == "histogram":
            if ledger is not None:
                yield _histogram(metric, ledger)
            continue
        make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = make(metric.name, metric.help, labels=metric.labels)
        for labels, value in samples.get(metric.name, []):
            family.add_metric(labels, value)
        yield family


def _samples(ledger: Ledger, now: float) -> Iterator[tuple[str, list[Sample]]]:
    found = report(ledger, now)

    def one(sql: str) -> float:
        return float(ledger.read(sql)[0][0] or 0)

    yield "gwbatch_dispatcher_up", [((), float(found["dispatcher"]["running"]))]
    yield "gwbatch_dispatcher_starts_total", [((), one("SELECT max(token) FROM leases WHERE name = 'dispatcher'"))]
    yield "gwbatch_problems", [((), float(len(found["wrong"])))]
    if ledger.path is not None:
        yield "gwbatch_disk_free_bytes", [((), float(shutil.disk_usage(ledger.path.parent).free))]
        yield "gwbatch_ledger_bytes", [((), float(ledger.path.stat().st_size))]
    for name, key in (
        ("gwbatch_listener_connected", "connected"),
        ("gwbatch_listener_lag", "lag"),
        ("gwbatch_listener_silence_seconds", "last_message_age"),
        ("gwbatch_listener_missed_total", "gap"),
        ("gwbatch_listener_restarts_total", "restarts"),
    ):
        yield name, [((row["name"],), float(row[key])) for row in found["listeners"] if row[key] is not None]
    yield "gwbatch_messages_total", [((), one("SELECT max(id) FROM messages"))]
    yield "gwbatch_lane_depth", [((name,), float(lane["depth"])) for name, lane in found["lanes"].items()]
    yield (
        "gwbatch_lane_oldest_seconds",
        [((name,), float(lane["oldest_age"] or 0)) for name, lane in found["lanes"].items()],
    )
    yield "gwbatch_dead_letters", [((), float(found["dead_letters"]["count"]))]
    effects = found["effects"]
    yield "gwbatch_effects", [((state,), float(effects[state])) for state in ("ready", "running")]
    yield "gwbatch_effects_total", [((), one("SELECT max(id) FROM effects"))]
    yield "gwbatch_effects_oldest_seconds", [((), float(effects["oldest_age"] or 0))]
    yield "gwbatch_jobs", [((state,), float(count)) for state, count in found["jobs"]["by_state"].items()]
    yield (
        "gwbatch_whole_node_seconds_total",
        [((row["use"],), row["seconds"]) for row in ledger.read("SELECT * FROM node_seconds ORDER BY use")],
    )
    standby = found["standby"].items()
    yield "gwbatch_pilots", [((q, what), float(one[what])) for q, one in standby for what in ("wanted", "ready")]
    yield "gwbatch_pilot_seconds_total", [((q, use), one[use]) for q, one in standby for use in ("busy", "idle")]
    yield "gwbatch_alerts_stopped", [((), float(found["alerts"]["stopped"] is not None))]
    states = {
        row["state"]: row["n"] for row in ledger.read("SELECT state, count(*) AS n FROM public_notices GROUP BY 1")
    }
    yield "gwbatch_notices", [((state,), float(states.get(state, 0))) for state in STATES]
    lacking = {row["broker"]: row["n"] for row in ledger.read(query("undelivered_notices"))}
    brokers = {**dict.fromkeys(found["alerts"]["brokers"], 0), **lacking}
    yield "gwbatch_notices_undelivered", [((name,), float(count)) for name, count in brokers.items()]
    waiting = one("SELECT min(planned) FROM public_notices WHERE state IN ('planned', 'frozen')")
    yield "gwbatch_notice_oldest_seconds", [((), now - waiting if waiting else 0.0)]
    yield "gwbatch_superevents_total", [((), one("SELECT max(id) FROM superevents"))]
    yield "gwbatch_external_events", [((), one("SELECT count(*) FROM external_events"))]
    yield "gwbatch_coincidences", [((), one("SELECT count(*) FROM coincidences WHERE chosen"))]


def _histogram(metric: Metric, ledger: Ledger) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    bounds = [row["upper"] for row in ledger.read("SELECT upper FROM latency_bounds ORDER BY upper")]
    counts: dict[str, dict[float, Any]] = defaultdict(dict)
    for row in ledger.read("SELECT * FROM stage_latencies ORDER BY stage, upper"):
        counts[row["stage"]][row["upper"]] = row
    for stage, found in counts.items():
        total, buckets = 0, []
        for upper in bounds:
            total += found[upper]["count"] if upper in found else 0
            buckets.append(("+Inf" if math.isinf(upper) else f"{upper:g}", total))
        family.add_metric([stage], buckets, sum(row["seconds"] for row in found.values()))
    return family
