"""Executors of effects, the only code that acts on the outside world. Each executes one class of effects, idempotently.

`registry` knows which function executes which class. The other modules hold gwbatch's own executors, for GraceDB,
external events, jobs, mock data, public notices and notifications.
"""

from __future__ import annotations

from gwbatch.executors import external, gracedb, jobs, mdc, notices, notify
from gwbatch.executors.registry import Claim, EffectResult, executor

__all__ = ["Claim", "EffectResult", "executor", "external", "gracedb", "jobs", "mdc", "notices", "notify"]
