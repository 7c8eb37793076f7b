"""What can be counted: one `schema`, from which come the exposition for Prometheus and the Grafana dashboard."""

from __future__ import annotations
