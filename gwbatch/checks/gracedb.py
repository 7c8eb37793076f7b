"""The GraceDB check: whether the server answers, is a GraceDB server, and knows us."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gwbatch.checks.base import Place, check
from gwbatch.errors import GwbatchError
from gwbatch.gracedb import make_client, translate_errors
from gwbatch.reports.finding import Finding, Level


@check("gracedb", every=300.0)
def gracedb(place: Place) -> Iterator[Finding]:
    """Read the API's root document and the user name that GraceDB has for us."""
    settings = place.profile.gracedb
    if not settings.url:
        yield Finding(Level.OK, "gracedb", "the site profile names no GraceDB server")
        return
    client, began = make_client(settings), time.monotonic()
    try:
        with translate_errors("read its root document"):
            links = dict(client.service_info.get("links", {}))
        took = time.monotonic() - began
        with translate_errors("say who we are"):
            who = str(client.get(links["user-info"]).json().get("username") or "") if "user-info" in links else ""
    except (GwbatchError, ValueError, AttributeError) as error:
        remedy = "pending writes wait, in order; check whether others can reach it, and gracedb.url in the profile"
        yield Finding(Level.CRITICAL, "gracedb", f"{settings.url} cannot be used: {error}", remedy)
        return
    finally:
        client.close()
    if "superevents" not in links:
        text = f"{settings.url} answers, but is not a GraceDB server: it has no superevents"
        yield Finding(Level.CRITICAL, "gracedb", text, "correct gracedb.url in the site profile; it ends in /api/")
    elif not who and settings.auth != "none":
        text = f"{settings.url} does not recognize us, so it will accept no writes"
        remedy = "renew the token (htgettoken) or certificate of the dispatcher's account, and run gwbatch doctor"
        yield Finding(Level.CRITICAL, "gracedb", text, remedy)
    else:
        yield Finding(Level.OK, "gracedb", f"{settings.url} answered in {took:.2f} s and knows us as {who or 'nobody'}")
