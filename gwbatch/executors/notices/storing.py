"""Storage of notices in GraceDB with their files and labels, and publication of superevents and files."""

from __future__ import annotations

import json
from typing import Any

from gwbatch.alerts import kind_named
from gwbatch.config.alerts import BrokerSettings
from gwbatch.effects.notices import (
    DraftCircular,
    Expose,
    LabelSent,
    PreferPipelineEvent,
    StoreNotice,
    TagFile,
    UploadNotice,
)
from gwbatch.errors import BadInput
from gwbatch.executors.gracedb import upload_file, write_label
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.gracedb import GraceDB, GraceDBError, accept, translate_errors
from gwbatch.ledger import Transaction, effects
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.runtime import Runtime

NOT_OFFERED = (404, 405, 410, 501)
TAGS = ("em_follow", "public")


@executor(StoreNotice)
def store(claim: Claim[StoreNotice], runtime: Runtime) -> EffectResult:
    """Store the notice in GraceDB; a server that stores no notices still gets its files."""
    notice, target = _notice(claim.effect.notice, runtime), runtime.graceid(claim.effect.superevent)
    body = public_notices.body(runtime.ledger.connection, notice.id, "json")
    if body is None:
        raise BadInput(f"Cannot store the notice {notice.name} about {target}: its content is gone.")
    number = _store(target, notice, body, runtime.gracedb(), repeated=claim.repeated)

    def commit(tx: Transaction) -> None:
        now = runtime.clock.now()
        public_notices.stored(tx, notice.id, now)
        if number is not None and kind_named(notice.kind).circular is not None:
            effects.request(tx, DraftCircular(claim.effect.superevent, notice.id, notice.name), now)

    return EffectResult({"N": number} if number is not None else {"skipped": "the server stores no notices"}, commit)


def _store(target: str, notice: PublicNotice, body: bytes, server: GraceDB, *, repeated: bool) -> int | None:
    """Store a notice, and return the number that GraceDB gave it; None if the server stores no notices."""
    try:
        with translate_errors(f"store the notice {notice.name} of {target}"):
            if repeated:
                known = _stored_before(target, notice, server)
                if known is not None:
                    return known
            filename = f"{target}-{notice.name}.json"
            answer = server.client.create_notice(target, filename, filecontents=body).json()
            hit("notice.after_store")
            return int(answer["N"])
    except GraceDBError as error:
        if error.status in NOT_OFFERED:
            return None
        raise
    except RuntimeError as error:  # raised by the client if the server does not offer notices
        if "notice" not in str(error):
            raise
        return None


def _stored_before(target: str, notice: PublicNotice, server: GraceDB) -> int | None:
    """Return the number of this notice if GraceDB has it already, recognized by its creation time and alert type."""
    for one in server.client.notices(target).json()["notices"]:
        known = json.loads(server.download(target, f"{one['filename']},{one.get('file_version') or 0}"))
        same = (known.get("time_created"), known.get("alert_type"))
        if notice.record is not None and same == (notice.time_created, notice.record["alert_type"]):
            return int(one["N"])
    return None


@executor(UploadNotice)
def upload(claim: Claim[UploadNotice], runtime: Runtime) -> EffectResult:
    """Upload the bytes that were sent, with a comment that names the brokers."""
    effect, connection = claim.effect, runtime.ledger.connection
    notice, target = _notice(effect.notice, runtime), runtime.graceid(effect.superevent)
    sends = [send for send in public_notices.sends(connection, notice.id) if send.form == effect.form]
    variant = sends[0].variant if sends else 0
    body = public_notices.body(connection, notice.id, effect.form, variant)
    if body is None:
        raise BadInput(f"Cannot upload the notice {notice.name} about {target}: its content is gone.")
    brokers = [runtime.profile.alerts.brokers.get(send.broker) for send in sends]
    comment = _comment(notice, [broker for broker in brokers if broker is not None])
    filename = f"{target}-{kind_named(notice.kind).alert_type.lower()}.{effect.form}"
    upload_file(target, filename, body, comment, TAGS, runtime.gracedb(), repeated=claim.repeated, unique=True)
    return EffectResult({"filename": filename})


def _comment(notice: PublicNotice, brokers: list[BrokerSettings]) -> str:
    places = ", ".join(f"kafka://{broker.address}/{broker.topic}" for broker in brokers)
    return f"Public {notice.name} notice" + (f" sent to {places}" if places else "")


@executor(LabelSent)
def label(claim: Claim[LabelSent], runtime: Runtime) -> EffectResult:
    """Label the superevent to show that the notice was sent."""
    target = runtime.graceid(claim.effect.superevent)
    write_label(target, claim.effect.label, runtime.gracedb())
    return EffectResult(
        {"target": target}, lambda tx: public_notices.labelled(tx, claim.effect.notice, runtime.clock.now())
    )


@executor(Expose)
def expose(claim: Claim[Expose], runtime: Runtime) -> EffectResult:
    """Make a superevent public; doing so twice changes nothing."""
    target = runtime.graceid(claim.effect.superevent)
    with translate_errors(f"make {target} public"):
        runtime.gracedb().client.modify_permissions(target, "expose")
        hit("gracedb.after_expose")
    return EffectResult({"target": target}, lambda tx: effects.wake(tx, f"{claim.effect.superevent}/notices"))


@executor(TagFile)
def tag(claim: Claim[TagFile], runtime: Runtime) -> EffectResult:
    """Tag the log message with which a file was uploaded."""
    effect, target, client = claim.effect, runtime.graceid(claim.effect.target), runtime.gracedb().client
    name, _, version = effect.file.partition(",")
    with accept("already"), translate_errors(f"tag {effect.file} of {target}"):
        body = client.logs(target).json()
        entry = next((entry for entry in body.get("logs", body.get("log", [])) if _brought(entry, name, version)), None)
        if entry is None:
            return EffectResult.skipped(f"no log message has uploaded {effect.file}")
        if effect.tag in entry.get("tag_names", ()):
            return EffectResult.skipped("already tagged")
        client.add_tag(target, entry["N"], effect.tag)
    return EffectResult({"target": target})


@executor(PreferPipelineEvent)
def prefer(claim: Claim[PreferPipelineEvent], runtime: Runtime) -> EffectResult:
    """Record the best event of a pipeline, on servers that support it."""
    target = runtime.graceid(claim.effect.superevent)
    try:
        with accept("already"), translate_errors(f"make {claim.effect.event} the pipeline-preferred event of {target}"):
            runtime.gracedb().client.add_pipeline_preferred_event(target, claim.effect.event)
    except UserWarning as error:
        return EffectResult.skipped(str(error))
    return EffectResult({"target": target})


def _brought(entry: dict[str, Any], name: str, version: str) -> bool:
    return entry.get("filename") == name and str(entry.get("file_version") or 0) == (version or "0")


def _notice(number: int, runtime: Runtime) -> PublicNotice:
    found = public_notices.get(runtime.ledger.connection, number)
    if found is None:
        raise BadInput(f"There is no notice {number}.")
    return found
