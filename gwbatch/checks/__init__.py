"""Health checks of the ledger and of everything else that gwbatch depends on.

Each check is a single function. The dispatcher runs each check at its own interval and records the findings for status,
``gwbatch check``, the console and notifications. ``gwbatch doctor`` runs all of them at once. A plug-in adds a check in
the same way::

    @check("seeing", every=3600.0)
    def seeing(place: Place) -> Iterator[Finding]:
        yield Finding(Level.OK, "seeing", "the dome is open")
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from gwbatch.checks.base import CHECKS, Check, Place, check, look, run_all

__all__ = ["CHECKS", "Check", "Place", "check", "load_checks", "look", "run_all"]


def load_checks() -> None:
    """Import gwbatch's own checks. A plug-in's checks are imported together with the plug-in."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
