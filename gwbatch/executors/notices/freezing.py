"""Freezing of notices: everything is read and encoded first, then recorded in one transaction if nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gwbatch.alerts import AlertKind, Contents, Seen, kind_named, refusal
from gwbatch.alerts.encoding import check, encode, smaller
from gwbatch.alerts.record import build
from gwbatch.config.alerts import BrokerSettings
from gwbatch.config.profile import Profile
from gwbatch.effects.notices import FreezeNotice
from gwbatch.errors import BadInput, TransientError
from gwbatch.executors.gracedb import files_of
from gwbatch.executors.notices.collecting import Collected, collect
from gwbatch.executors.notices.fixing import Body, Written, fix, refuse
from gwbatch.executors.notices.looking import look, map_file
from gwbatch.executors.notices.recalling import already_sent
from gwbatch.executors.notices.waiting import (
    too_old,
    wait_for_data_quality,
    wait_for_gracedb,
    wait_for_products,
    wait_for_what_gracedb_has,
)
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.ledger import Transaction
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.runtime import Runtime


class Changed(TransientError):
    """The data behind a notice changed while it was being written, so it must be written again."""

    retry_after = 0.001


@executor(FreezeNotice)
def freeze(claim: Claim[FreezeNotice], runtime: Runtime) -> EffectResult:
    """Judge a notice and freeze it, or record why it does not go out."""
    effect, connection, now = claim.effect, runtime.ledger.connection, runtime.clock.now()
    notice = public_notices.get(connection, effect.notice)
    if notice is None or notice.state != "planned":
        return EffectResult.skipped("already frozen or refused")
    kind, seen = kind_named(notice.kind), look(connection, effect.superevent, notice)
    if seen is None:
        raise BadInput(f"Cannot write a notice about {effect.superevent}: there is no such superevent.")

    def unless_changed(write: Callable[[Transaction], None]) -> Callable[[Transaction], None]:
        """Return a commit that first checks that the ledger still shows what was judged."""

        def commit(tx: Transaction) -> None:
            known = public_notices.get(tx, notice.id)
            if look(tx, effect.superevent, notice) != seen or known is None or known.state != "planned":
                raise Changed(f"The notice {effect.name} about {effect.superevent} must be rewritten: data changed.")
            write(tx)
            hit("notice.frozen")

        return commit

    def refused(reason: str) -> EffectResult:
        return EffectResult({"refused": reason}, unless_changed(lambda tx: refuse(tx, notice, reason, runtime)))

    reason = refusal(kind, seen, runtime.policy) or too_old(notice, runtime, now)
    if reason is not None:
        return refused(reason)
    wait_for_what_gracedb_has(notice, runtime, now)
    reason = already_sent(notice, connection)
    if reason is not None:
        return refused(reason)
    collected = collect(seen, files_of(runtime)) if kind.has_event else Collected(Contents())
    wait_for_products(notice, collected, runtime, now)
    lacking = [name for name in collected.missing | collected.unusable if not _goes_without(notice, name, runtime)]
    if lacking:
        return refused(f"it must not go out without {', '.join(lacking)}")
    if kind.checks_data:
        wait_for_data_quality(notice, runtime, now)
    if kind.has_event:
        wait_for_gracedb(notice, seen, runtime, now)
    try:
        written = _write(kind, notice, seen, collected, runtime, now)
    except BadInput as error:
        return refused(str(error))
    hit("notice.before_freeze")
    detail = {"missing": collected.missing, "unusable": collected.unusable}
    return EffectResult(detail, unless_changed(lambda tx: fix(tx, notice, seen, collected, written, runtime)))


def _goes_without(notice: PublicNotice, name: str, runtime: Runtime) -> bool:
    return runtime.policy.alerts.goes_without(notice.kind, name)


def _write(
    kind: AlertKind, notice: PublicNotice, seen: Seen, collected: Collected, runtime: Runtime, now: float
) -> Written:
    """Write a notice, check it, and encode it for every broker that gets it.

    Raises
    ------
    BadInput
        If the preferred event has no FAR, or the notice does not conform to the schema.
    """
    urls = urls_of(runtime.graceid(seen.superevent.key), seen, collected, runtime.profile)
    record = build(kind, seen, collected.contents, urls, runtime.policy, now)
    check(record)
    brokers = runtime.profile.alerts.brokers_for(notice.category)
    bodies = {name: body_for(record, broker) for name, broker in brokers.items()}
    area = _area(collected.contents.skymap) if kind.calls_people else None
    return Written(record, encode(record, "json"), bodies, area)


def _area(skymap: bytes | None) -> float | None:
    from gwbatch.jobs.multi_order import area_within

    try:
        return None if skymap is None else area_within(skymap, 0.9)
    except BadInput:
        return None


def urls_of(superevent_id: str, seen: Seen, collected: Collected, profile: Profile) -> dict[str, str]:
    """Return the URLs of the superevent's page and, for the maps that the notice holds, of their files."""
    api = profile.gracedb.url.rstrip("/")
    urls = {"gracedb": f"{api.removesuffix('/api')}/superevents/{superevent_id}/view/"}
    file = map_file(seen)
    if collected.contents.skymap is not None and file is not None:
        urls["skymap"] = f"{api}/superevents/{superevent_id}/files/{file}"
    combined = seen.external.combined[1] if seen.external is not None and seen.external.combined is not None else ""
    if collected.contents.combined_skymap is not None and combined:
        urls["combined_skymap"] = f"{api}/superevents/{superevent_id}/files/{combined}"
    return urls


def body_for(record: dict[str, Any], broker: BrokerSettings) -> Body:
    """Return the most complete version of a notice that a broker accepts, or the smallest if all are too large."""
    body = Body(0, None, encode(record, broker.format))
    ever_smaller = enumerate(smaller(record), start=1)
    while len(body.content) > broker.max_bytes:
        number, (reduced, left_out) = next(ever_smaller, (0, (None, "")))
        if reduced is None:
            break
        body = Body(number, left_out, encode(reduced, broker.format))
    return body
