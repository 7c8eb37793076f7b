"""gwbatch: superevents from gravitational-wave alerts, and sky maps computed as whole-node batch jobs.

Plug-ins find here what they need: the decorators (`gcn`, `igwn_alert` alias `lvalert`, `every`, `on`, `job`,
`executor`), the effects that a handler can return (`effects`) and the base class of exceptions.  Names are loaded on
first use, so that ``import gwbatch`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gwbatch import effects
    from gwbatch.errors import GwbatchError
    from gwbatch.executors import executor
    from gwbatch.handlers import every, gcn, igwn_alert, lvalert, on
    from gwbatch.jobs import job

__all__ = ["GwbatchError", "effects", "every", "executor", "gcn", "igwn_alert", "job", "lvalert", "on"]

_HOME = {
    "GwbatchError": ("gwbatch.errors", "GwbatchError"),
    "effects": ("gwbatch.effects", None),
    "every": ("gwbatch.handlers", "every"),
    "executor": ("gwbatch.executors", "executor"),
    "gcn": ("gwbatch.handlers", "gcn"),
    "igwn_alert": ("gwbatch.handlers", "igwn_alert"),
    "lvalert": ("gwbatch.handlers", "lvalert"),
    "job": ("gwbatch.jobs", "job"),
    "on": ("gwbatch.handlers", "on"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    try:
        module, attribute = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'gwbatch' has no attribute {name!r}") from None
    home = import_module(module)
    return home if attribute is None else getattr(home, attribute)
