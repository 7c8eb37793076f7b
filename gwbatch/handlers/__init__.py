"""Handlers: plain functions of a payload that return effects, and the decorators that register them.

`registry` knows which handler sees which topic in which lane; `decorators` is the public face (`gcn`,
`igwn_alert` alias `lvalert`, `every`); `builtin` holds gwbatch's own handlers, which join science to effects.
"""

from __future__ import annotations

from gwbatch.handlers.decorators import every, gcn, igwn_alert, lvalert
from gwbatch.handlers.registry import REGISTRY, Context, Handler, Registry, load_handlers

__all__ = [
    "REGISTRY",
    "Context",
    "Handler",
    "Registry",
    "every",
    "gcn",
    "igwn_alert",
    "load_handlers",
    "lvalert",
]
