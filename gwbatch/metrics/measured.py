"""gwbatch's own metrics, in the order of the dashboard."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gwbatch.metrics import query
from gwbatch.metrics.declaring import Buckets, Look, Sample, metric
from gwbatch.mirror.public_notices import STATES


@metric("gwbatch_dispatcher_up", "gauge", "1 while a live dispatcher holds the lease.", row="Health", unit="bool")
def _up(look: Look) -> float:
    return float(look.report["dispatcher"]["running"])


@metric("gwbatch_dispatcher_starts_total", "counter", "Dispatchers that have held the lease.", row="Health")
def _starts(look: Look) -> float:
    return look.number(query("dispatcher_starts"))


@metric("gwbatch_problems", "gauge", "Problems that 'gwbatch status' reports.", row="Health")
def _problems(look: Look) -> float:
    return float(len(look.report["wrong"]))


@metric("gwbatch_disk_free_bytes", "gauge", "Free space of the state directory.", row="Health", unit="bytes")
def _disk_free(look: Look) -> Iterator[Sample]:
    if look.ledger.path is not None:
        yield Sample(float(shutil.disk_usage(look.ledger.path.parent).free))


@metric("gwbatch_ledger_bytes", "gauge", "Size of the ledger.", row="Health", unit="bytes")
def _ledger_bytes(look: Look) -> Iterator[Sample]:
    if look.ledger.path is not None:
        yield Sample(float(look.ledger.path.stat().st_size))


def _of_listeners(look: Look, key: str) -> Iterator[Sample]:
    for row in look.report["listeners"]:
        if row[key] is not None:
            yield Sample(float(row[key]), (row["name"],))


@metric("gwbatch_listener_connected", "gauge", "1 while connected.", row="Listeners", labels=("listener",), unit="bool")
def _connected(look: Look) -> Iterator[Sample]:
    return _of_listeners(look, "connected")


@metric("gwbatch_listener_lag", "gauge", "Messages on the broker that are not read yet.", row="Listeners",
        labels=("listener",))  # fmt: skip
def _lag(look: Look) -> Iterator[Sample]:
    return _of_listeners(look, "lag")


@metric("gwbatch_listener_silence_seconds", "gauge", "Time since the last message.", row="Listeners",
        labels=("listener",), unit="s")  # fmt: skip
def _silence(look: Look) -> Iterator[Sample]:
    return _of_listeners(look, "last_message_age")


@metric("gwbatch_listener_missed_total", "counter", "Messages the broker dropped unread.", row="Listeners",
        labels=("listener",))  # fmt: skip
def _missed(look: Look) -> Iterator[Sample]:
    return _of_listeners(look, "gap")


@metric("gwbatch_listener_restarts_total", "counter", "Restarts of the listener.", row="Listeners",
        labels=("listener",))  # fmt: skip
def _restarts(look: Look) -> Iterator[Sample]:
    return _of_listeners(look, "restarts")


@metric("gwbatch_messages_total", "counter", "Messages recorded in the ledger.", row="Lanes")
def _messages(look: Look) -> float:
    return look.number(query("newest_message"))


@metric("gwbatch_lane_depth", "gauge", "Messages waiting.", row="Lanes", labels=("lane",))
def _lane_depth(look: Look) -> Iterator[Sample]:
    for name, lane in look.report["lanes"].items():
        yield Sample(float(lane["depth"]), (name,))


@metric(
    "gwbatch_lane_oldest_seconds", "gauge", "Age of oldest waiting message.", row="Lanes", labels=("lane",), unit="s"
)
def _lane_oldest(look: Look) -> Iterator[Sample]:
    for name, lane in look.report["lanes"].items():
        yield Sample(float(lane["oldest_age"] or 0), (name,))


@metric("gwbatch_dead_letters", "gauge", "Messages and effects given up.", row="Lanes")
def _dead_letters(look: Look) -> float:
    return float(look.report["dead_letters"]["count"])


@metric("gwbatch_effects", "gauge", "Effects that are not done.", row="Effects", labels=("state",))
def _effects(look: Look) -> Iterator[Sample]:
    for state in ("ready", "running"):
        yield Sample(float(look.report["effects"][state]), (state,))


@metric("gwbatch_effects_total", "counter", "Effects requested.", row="Effects")
def _all_effects(look: Look) -> float:
    return look.number(query("newest_effect"))


@metric("gwbatch_effects_oldest_seconds", "gauge", "Age of the oldest unfinished effect.", row="Effects", unit="s")
def _oldest_effect(look: Look) -> float:
    return float(look.report["effects"]["oldest_age"] or 0)


@metric("gwbatch_jobs", "gauge", "Jobs by state.", row="Jobs", labels=("state",))
def _jobs(look: Look) -> Iterator[Sample]:
    for state, count in look.report["jobs"]["by_state"].items():
        yield Sample(float(count), (state,))


@metric(
    "gwbatch_whole_node_seconds_total", "counter", "Whole-node time by use: computing, or held idle.", row="Jobs",
    labels=("use",), unit="s",
)  # fmt: skip
def _node_seconds(look: Look) -> Iterator[Sample]:
    for row in look.ledger.read(query("node_seconds")):
        yield Sample(row["seconds"], (row["use"],))


@metric("gwbatch_pilots", "gauge", "Pilots wanted and ready.", row="Jobs", labels=("queue", "what"))
def _pilots(look: Look) -> Iterator[Sample]:
    for queue, pilots in look.report["standby"].items():
        for what in ("wanted", "ready"):
            yield Sample(float(pilots[what]), (queue, what))


@metric(
    "gwbatch_pilot_seconds_total", "counter", "Time that pilots report as busy and idle.", row="Jobs",
    labels=("queue", "use"), unit="s",
)  # fmt: skip
def _pilot_seconds(look: Look) -> Iterator[Sample]:
    for queue, pilots in look.report["standby"].items():
        for use in ("busy", "idle"):
            yield Sample(pilots[use], (queue, use))


@metric(
    "gwbatch_pilot_missed_total", "counter", "Jobs that did not reach a free pilot.", row="Jobs",
    labels=("queue",),
)  # fmt: skip
def _pilot_missed(look: Look) -> Iterator[Sample]:
    for queue, pilots in look.report["standby"].items():
        yield Sample(float(pilots["missed"]), (queue,))


@metric("gwbatch_alerts_stopped", "gauge", "1 while public alerts are stopped.", row="Alerts", unit="bool")
def _alerts_stopped(look: Look) -> float:
    return float(look.report["alerts"]["stopped"] is not None)


@metric("gwbatch_notices", "gauge", "Public notices by state.", row="Alerts", labels=("state",))
def _notices(look: Look) -> Iterator[Sample]:
    counts = {row["state"]: row["n"] for row in look.ledger.read(query("notices_by_state"))}
    for state in STATES:
        yield Sample(float(counts.get(state, 0)), (state,))


@metric("gwbatch_notices_undelivered", "gauge", "Public notices not yet delivered to a broker.", row="Alerts",
        labels=("broker",))  # fmt: skip
def _undelivered(look: Look) -> Iterator[Sample]:
    lacking = {row["broker"]: row["n"] for row in look.ledger.read(query("undelivered_notices"))}
    for broker, count in {**dict.fromkeys(look.report["alerts"]["brokers"], 0), **lacking}.items():
        yield Sample(float(count), (broker,))


@metric("gwbatch_notice_oldest_seconds", "gauge", "Age of the oldest notice not yet sent.", row="Alerts", unit="s")
def _oldest_notice(look: Look) -> float:
    planned = look.number(query("oldest_open_notice"))
    return look.now - planned if planned else 0.0


@metric("gwbatch_superevents_total", "counter", "Superevents created.", row="Science")
def _superevents(look: Look) -> float:
    return look.number(query("newest_superevent"))


@metric("gwbatch_external_events", "gauge", "External events.", row="Science")
def _external_events(look: Look) -> float:
    return look.number(query("external_events"))


@metric("gwbatch_coincidences", "gauge", "External events that coincide with a superevent.", row="Science")
def _coincidences(look: Look) -> float:
    return look.number(query("coincidences"))


@metric("gwbatch_stage_seconds", "histogram", "Time that each stage takes.", row="Latency", labels=("stage",), unit="s")
def _stages(look: Look) -> Iterator[Buckets]:
    bounds = [row["upper"] for row in look.ledger.read(query("latency_bounds"))]
    counts: dict[str, dict[float, Any]] = defaultdict(dict)
    for row in look.ledger.read(query("stage_latencies")):
        counts[row["stage"]][row["upper"]] = row
    for stage, found in counts.items():
        reached, buckets = 0, []
        for upper in bounds:
            reached += found[upper]["count"] if upper in found else 0
            buckets.append(("+Inf" if math.isinf(upper) else f"{upper:g}", reached))
        yield Buckets((stage,), buckets, sum(row["seconds"] for row in found.values()))
