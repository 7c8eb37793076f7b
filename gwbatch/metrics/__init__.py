"""Metrics, each declared by one function, exported to Prometheus and drawn on a Grafana dashboard."""

from __future__ import annotations

from gwbatch.ledger import queries

query = queries("gwbatch.metrics")
