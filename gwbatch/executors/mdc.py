"""Mock data in GraceDB: uploading an event, and signing a superevent off."""

from __future__ import annotations

from gwbatch import mdc
from gwbatch.effects.mdc import SignOff, UploadMock
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.gpstime import unix_to_utc, utc_to_gps
from gwbatch.gracedb import accept, translate_errors
from gwbatch.runtime import Runtime

TOO_LATE = 600.0  # s: a mock event that could not be uploaded for so long is left out


@executor(UploadMock)
def upload(claim: Claim[UploadMock], runtime: Runtime) -> EffectResult:
    """Upload a mock event. If an earlier attempt may have succeeded it is not repeated: the next one comes anyway."""
    if claim.repeated or runtime.clock.now() - claim.created > TOO_LATE:
        return EffectResult.skipped("an earlier attempt may have succeeded, or it is too late")
    with translate_errors("upload a mock event"):
        gps = utc_to_gps(unix_to_utc(claim.effect.at))
        graceid = mdc.upload(runtime.gracedb().client, claim.effect.number, gps)
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
