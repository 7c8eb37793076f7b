"""The Grafana dashboard of all metrics. A test keeps ``docs/examples/grafana.json`` identical to its output."""

from __future__ import annotations

import json
from typing import Any

from gwbatch.metrics import measured  # noqa: F401  declares the metrics that gwbatch brings
from gwbatch.metrics.declaring import METRICS, Metric

WIDTH, HEIGHT = 8, 7  # of a panel, in Grafana's units; a dashboard is 24 wide
SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> str:
    """Return the dashboard as JSON for Grafana, which asks for the Prometheus data source on import."""
    panels: list[dict[str, Any]] = []
    below = 0
    for row in dict.fromkeys(metric.row for metric in METRICS.values()):
        panels.append({"type": "row", "title": row, "gridPos": {"x": 0, "y": below, "w": 24, "h": 1}, "panels": []})
        below += 1
        of_row = [metric for metric in METRICS.values() if metric.row == row]
        for number, metric in enumerate(of_row):
            place = {"x": WIDTH * (number % 3), "y": below + HEIGHT * (number // 3), "w": WIDTH, "h": HEIGHT}
            panels.append(_panel(metric, place))
        below += HEIGHT * (1 + (len(of_row) - 1) // 3)
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return json.dumps(
        {
            "title": "gwbatch",
            "uid": "gwbatch",
            "schemaVersion": 39,
            "refresh": "10s",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
            "panels": panels,
        },
        indent=1,
    )


def _panel(metric: Metric, place: dict[str, int]) -> dict[str, Any]:
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    if metric.kind == "histogram":
        by = ", ".join(("le", *metric.labels))
        wanted = f"histogram_quantile(0.95, sum by ({by}) (rate({metric.name}_bucket[1h])))"
        title = f"{metric.help} 95th percentile"
    elif metric.kind == "counter":
        wanted, title = f"rate({metric.name}[5m])", f"{metric.help} Per second"
    else:
        wanted, title = metric.name, metric.help
    return {
        "type": "timeseries",
        "title": title,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": metric.unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": wanted, "legendFormat": legend or metric.name}],
    }
