"""Handlers: plain functions of a payload that return effects, and the decorators that declare them.

The decorators in `decorators` are public (`gcn`, `igwn_alert` alias `lvalert`, `every`, `on`) and only declare
handlers. `registry` resolves the declarations for a policy and a profile. gwbatch's own handlers are in
`gwbatch.orchestrator`.  `Context` and `Message` are loaded on first use, because a plug-in that a node imports needs no
ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gwbatch.handlers.decorators import every, gcn, igwn_alert, lvalert, on

if TYPE_CHECKING:
    from gwbatch.handlers.context import Context
    from gwbatch.handlers.messages import Message

__all__ = ["Context", "Message", "every", "gcn", "igwn_alert", "lvalert", "on"]

_HOME = {"Context": "gwbatch.handlers.context", "Message": "gwbatch.handlers.messages"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'gwbatch.handlers' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
