"""The two queues of jobs; in a module of its own, for a job on a node asks for nothing more of the configuration."""

from __future__ import annotations

QUEUES = ("openmp", "general")
"""A whole node, and one core."""
