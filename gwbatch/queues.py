"""The two job queues, in a module of their own because a job on a node needs nothing else of the configuration."""

from __future__ import annotations

QUEUES = ("openmp", "general")
"""A whole node, and one core."""
