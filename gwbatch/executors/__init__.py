"""Executors: the only code that acts on the world. Each executes the effects of one class, idempotently.

`registry` knows which function executes what. The others are gwbatch's own executors: GraceDB, external events, jobs,
public notices and notifications.
"""

from __future__ import annotations

from gwbatch.executors import external, gracedb, jobs, mdc, notices, notify
from gwbatch.executors.registry import Claim, EffectResult, executor

__all__ = ["Claim", "EffectResult", "executor", "external", "gracedb", "jobs", "mdc", "notices", "notify"]
