"""The mirror check: whether the ledger still agrees with GraceDB."""

from __future__ import annotations

from collections.abc import Iterator

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.gracedb import GraceDB, make_client
from gwbatch.reports.finding import Finding, Level

DAY = 86400.0
SETTLE = 10.0  # s for writes in progress to finish


@check("mirror", every=3600.0, after=600.0)
def mirror(place: Place) -> Iterator[Finding]:
    """Compare everything from the last day with GraceDB, without changing anything.

    Only differences that persist for `SETTLE` seconds count.
    """
    from gwbatch.reconcile import Remedy, lasting
    from gwbatch.reconcile.looking import Scope

    settings = place.profile.gracedb
    if place.ledger is None or not settings.url:
        return
    client = make_client(settings)
    scope = Scope(since=place.clock.now() - DAY, with_notices=place.profile.alerts.mode != "off")
    try:
        found = lasting(place.ledger, GraceDB(client), scope, SETTLE)
    except GwbatchError:
        return  # the gracedb check reports it
    finally:
        client.close()
    stuck = [one for one in found if one.remedy is not Remedy.WAIT]
    if not stuck:
        yield Finding(Level.OK, "mirror", "the ledger and GraceDB agree about the last day")
        return
    first = stuck[0]
    text = (
        f"the ledger and GraceDB differ in {len(stuck)} places, first in {first.subject}, {first.what}: "
        f"{first.ours} here, {first.theirs} there"
    )
    yield Finding(Level.WARNING, "mirror", text, "see gwbatch reconcile; if it is right, add --apply")
