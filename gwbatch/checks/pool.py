"""The pool check: whether the batch system answers and has nodes in service, and how many of them are free."""

from __future__ import annotations

from collections.abc import Iterator

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.reports.finding import Finding, Level
from gwbatch.schedulers.backend import backend_of


@check("pool", every=120.0, after=10.0)
def pool(place: Place) -> Iterator[Finding]:
    """Ask the batch system for its whole nodes."""
    try:
        found = backend_of(place.profile).pool(place.profile)
    except GwbatchError as error:
        text = f"the batch system does not say which nodes it has: {error}"
        yield Finding(Level.CRITICAL, "pool", text, "see whether the batch system answers on this host")
        return
    if found is None:
        return
    if not found.nodes:
        text = "the batch system has no node in service for the site profile's queues; jobs wait"
        remedy = "ask its administrators; compare the profile's partition and requirements with sinfo or condor_status"
        yield Finding(Level.WARNING, "pool", text, remedy)  # some pools start nodes only when jobs wait
        return
    yield Finding(Level.OK, "pool", f"{found.free} of {found.nodes} whole nodes are free")
