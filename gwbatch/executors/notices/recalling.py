"""Recall from GraceDB of notices that went out without this ledger's knowledge."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gwbatch.alerts import kind_named, kind_of
from gwbatch.effects.notices import RecallNotices
from gwbatch.errors import BadInput
from gwbatch.executors.notices.fixing import schedule_second
from gwbatch.executors.notices.storing import NOT_OFFERED
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.gpstime import unix_of
from gwbatch.gracedb import GraceDB, GraceDBError, translate_errors
from gwbatch.ledger import Transaction, effects
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime


@dataclass(frozen=True)
class Stored:
    """A notice that GraceDB has; `created` is its ``time_created``."""

    number: int
    kind: str
    created: str


@executor(RecallNotices)
def recall(claim: Claim[RecallNotices], runtime: Runtime) -> EffectResult:
    """Record the notices about a superevent that another dispatcher sent, or this one before its ledger was lost."""
    key = claim.effect.superevent
    found = stored_in_gracedb(runtime.graceid(key), runtime.gracedb())

    def commit(tx: Transaction) -> None:
        superevent, now = SupereventStore(tx).superevent(key), runtime.clock.now()
        if superevent is None:
            return
        ours = {notice.time_created for notice in public_notices.about(tx, superevent.key)}
        for one in found:
            if one.created in ours:
                continue
            sent = min(unix_of(one.created), now)
            occasion = "" if kind_named(one.kind).is_automatic else f"{one.created} {one.number} in GraceDB"
            notice = public_notices.remember(
                tx, superevent.key, superevent.category, one.kind, occasion, one.number, one.created, sent
            )
            if notice is not None and sent + runtime.policy.alerts.oldest > now:
                schedule_second(tx, notice, sent, runtime)
        effects.wake(tx, f"{superevent.key}/notices")

    return EffectResult({"found": [one.kind for one in found]}, commit)


def already_sent(notice: PublicNotice, connection: Transaction) -> str | None:
    """Return why a notice that a signoff asks for need not go out (GraceDB has one from after the signoff), or None."""
    asked = public_notices.asked_for_by(connection, notice.id).rpartition(" ")[0].removesuffix(" UTC")
    foreign = [
        one
        for one in public_notices.about(connection, notice.superevent)
        if one.is_foreign and one.kind == notice.kind and one.time_created is not None
    ]
    if not foreign or kind_named(notice.kind).is_automatic or kind_named(notice.kind).ordered:
        return None
    try:
        younger = [one for one in foreign if unix_of(str(one.time_created)) >= unix_of(asked)]
    except BadInput:
        younger = foreign  # the times cannot be compared, so a person must decide
    return f"GraceDB already has it, {younger[-1].reason}" if younger else None


def notices_in_gracedb(target: str, server: GraceDB) -> list[dict[str, Any]] | None:
    """Return the notices about a superevent that GraceDB lists, in order; None if the server stores no notices."""
    try:
        with translate_errors(f"ask for the notices of {target}"):
            return list(server.client.notices(target).json()["notices"])
    except GraceDBError as error:
        if error.status in NOT_OFFERED:
            return None
        raise
    except RuntimeError as error:  # raised by the client if the server does not offer notices
        if "notice" not in str(error):
            raise
        return None


def stored_in_gracedb(target: str, server: GraceDB) -> list[Stored]:
    """Return the notices about a superevent that GraceDB has, in order; an empty list if the server stores none."""
    listed = notices_in_gracedb(target, server) or []
    try:
        contents = [
            json.loads(server.download(target, f"{one['filename']},{one.get('file_version') or 0}")) for one in listed
        ]
    except ValueError as error:
        raise BadInput(f"Cannot read a notice that {target} has in GraceDB: {error}.") from error
    seen: Counter[tuple[str, bool | None]] = Counter()
    return [_named(int(one["N"]), content, seen) for one, content in zip(listed, contents, strict=True)]


def _named(number: int, content: dict[str, Any], seen: Counter[tuple[str, bool | None]]) -> Stored:
    """Build one notice, whose kind follows from its content and from how many of the same sort came before it."""
    event = content.get("event")
    what = str(content.get("alert_type")), None if event is None else bool(event.get("significant", True))
    kind = kind_of(*what, seen[what])
    seen[what] += 1
    return Stored(number, kind.name, str(content.get("time_created")))
