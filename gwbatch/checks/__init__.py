"""Looking beyond the ledger: is what gwbatch depends on there, and as it should be?

A check is one function in one place. The dispatcher runs each from time to time and writes down what it found, for
status, ``gwbatch check``, the console and notifications; ``gwbatch doctor`` runs all of them at once. A plug-in adds
one in the same way::

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
    """Import gwbatch's own checks; those of plug-ins come with the plug-ins."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
