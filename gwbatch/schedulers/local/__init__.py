"""This machine as a batch system."""

from __future__ import annotations

from gwbatch.schedulers.local.scheduler import LocalScheduler

__all__ = ["LocalScheduler"]
