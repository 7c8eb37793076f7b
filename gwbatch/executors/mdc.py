"""Executors of the mock-data heartbeat: the upload of mock events, and the signoff of superevents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwbatch import mdc
from gwbatch.effects.mdc import SignOff, UploadMock, UploadMockBurst
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.gpstime import unix_to_utc, utc_to_gps
from gwbatch.gracedb import accept, translate_errors
from gwbatch.runtime import Runtime

TOO_LATE = 600.0  # s after which a mock event that could not be uploaded is skipped


@executor(UploadMock)
def upload(claim: Claim[UploadMock], runtime: Runtime) -> EffectResult:
    """Upload a mock event. Retries and late uploads are skipped, because the next mock event comes anyway."""
    return _once(claim, mdc.upload, "a mock event", runtime)


@executor(UploadMockBurst)
def upload_burst(claim: Claim[UploadMockBurst], runtime: Runtime) -> EffectResult:
    """Upload the burst of a mock event, under the same conditions."""
    return _once(claim, mdc.upload_burst, "a mock burst", runtime)


def _once(
    claim: Claim[UploadMock] | Claim[UploadMockBurst],
    send: Callable[[Any, int, float], str],
    what: str,
    runtime: Runtime,
) -> EffectResult:
    if claim.repeated or runtime.clock.now() - claim.created > TOO_LATE:
        return EffectResult.skipped("an earlier attempt may have succeeded, or it is too late")
    with translate_errors(f"upload {what}"):
        gps = utc_to_gps(unix_to_utc(claim.effect.at))
        graceid = send(runtime.gracedb().client, claim.effect.number, gps)
        hit("mdc.after_upload")
    return EffectResult({"graceid": graceid})


@executor(SignOff)
def sign_off(claim: Claim[SignOff], runtime: Runtime) -> EffectResult:
    """Sign a superevent off, unless a person has done so already."""
    target, status = runtime.graceid(claim.effect.superevent), claim.effect.status
    with accept("already exists", "No signoff was requested"), translate_errors(f"sign {target} off"):
        runtime.gracedb().client.create_signoff(target, "ADV", status, "Mock data: signed off by a machine")
        hit("mdc.after_signoff")
    return EffectResult({"target": target, "status": status})
