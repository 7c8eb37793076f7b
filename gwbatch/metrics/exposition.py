"""All metrics in Prometheus' text format."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from gwbatch.ledger import Ledger
from gwbatch.metrics import measured  # noqa: F401  declares the metrics that gwbatch brings
from gwbatch.metrics.declaring import METRICS, Buckets, Look, Metric, Sample
from gwbatch.reports.status import report

log = logging.getLogger(__name__)

UP = "gwbatch_dispatcher_up"
FAMILIES: dict[str, Any] = {
    "counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily,
}  # fmt: skip


def exposition(ledger: Ledger | None, now: float) -> bytes:
    """Return all metrics in Prometheus' text format.

    Without a ledger, the only sample is ``gwbatch_dispatcher_up 0``.
    """

    class Once(Collector):
        def collect(self) -> Iterable[Family]:
            return families(ledger, now)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    return generate_latest(registry)


def families(ledger: Ledger | None, now: float) -> Iterator[Family]:
    """Yield every metric as a family of samples."""
    look = None if ledger is None else Look(ledger, report(ledger, now), now)
    for metric in METRICS.values():
        if look is not None:
            try:
                yield _family(metric, metric.measure(look))
            except Exception:
                log.exception("the metric %s cannot be measured", metric.name)  # spares the other metrics
        elif metric.kind != "histogram":
            yield _family(metric, 0.0 if metric.name == UP else ())


def _family(metric: Metric, found: float | Iterable[Sample | Buckets]) -> Any:
    make: dict[str, Any] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    family = make[metric.kind](metric.name, metric.help, labels=metric.labels)
    for one in [Sample(float(found))] if isinstance(found, int | float) else found:
        if isinstance(one, Buckets):
            family.add_metric(one.labels, one.counts, one.total)
        else:
            family.add_metric(one.labels, one.value)
    return family
