"""What can be counted: declared one function a metric, exported to Prometheus and drawn on a Grafana dashboard."""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.metrics")
