"""The credentials check: how long GraceDB will still accept ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from gwbatch.checks.base import Place, check
from gwbatch.gracedb import make_client
from gwbatch.reports.finding import Finding, Level

TOKEN_LEFT = 900.0  # s: tokens live for hours and are renewed long before this
CERTIFICATE_LEFT = 3 * 86400.0  # s
RENEW = "check what renews it (a crontab with htgettoken, condor_vault_storer); writes wait until it is renewed"


@check("credentials", every=300.0)
def credentials(place: Place) -> Iterator[Finding]:
    """Report how long the token or certificate that the GraceDB client would use now remains valid."""
    settings, now = place.profile.gracedb, place.clock.now()
    if not settings.url or settings.auth == "none":
        yield Finding(Level.OK, "credentials", "GraceDB requires no credentials")
        return
    client = make_client(settings)
    try:
        token = client.auth.find_token(settings.url, error=False) if hasattr(client.auth, "find_token") else None
        certificate = client.cert[0] if isinstance(client.cert, tuple) else client.cert
    finally:
        client.close()
    if token is not None:
        yield _judged("token", float(token["exp"]), TOKEN_LEFT, now)
    elif certificate:
        yield _judged(f"certificate {certificate}", _end_of(Path(certificate)), CERTIFICATE_LEFT, now)
    elif client.auth and not hasattr(client.auth, "find_token"):
        yield Finding(Level.OK, "credentials", "a name and a password from .netrc, which do not expire")
    else:
        text = "there is no valid token or certificate for GraceDB"
        yield Finding(Level.CRITICAL, "credentials", text, RENEW)


def _judged(what: str, end: float, enough: float, now: float) -> Finding:
    left, until = end - now, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(end))
    if left <= 0:
        return Finding(Level.CRITICAL, "credentials", f"the {what} expired at {until}", RENEW)
    level = Level.WARNING if left < enough else Level.OK
    return Finding(level, "credentials", f"the {what} is valid until {until}", RENEW if level else "")


def _end_of(path: Path) -> float:
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
