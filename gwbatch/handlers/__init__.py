"""Handlers: plain functions of a payload that return effects, and the decorators that declare them.

`decorators` is the public face (`gcn`, `igwn_alert` alias `lvalert`, `every`, `on`); they only declare. `registry`
resolves declarations for a policy and a profile; gwbatch's own handlers are in `gwbatch.orchestrator`.
"""

from __future__ import annotations

from gwbatch.handlers.decorators import every, gcn, igwn_alert, lvalert, on

__all__ = ["every", "gcn", "igwn_alert", "lvalert", "on"]
