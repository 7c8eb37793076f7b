"""Freezing a notice: everything is read and encoded first, then judged and fixed in one transaction."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from gwbatch.alerts import Contents, Seen, kind_named, refusal
from gwbatch.alerts.encoding import check, encode, smaller, with_maps
from gwbatch.alerts.profile import high_profile
from gwbatch.alerts.record import build
from gwbatch.annotation.graph import MAP
from gwbatch.config.alerts import BrokerSettings
from gwbatch.config.profile import Profile
from gwbatch.effects.kinds import Label, Log
from gwbatch.effects.notices import CheckData, Expose, FreezeNotice, PublishNotice, TagFile
from gwbatch.errors import BadInput, NotThereYet, TransientError
from gwbatch.executors.gracedb import files_of
from gwbatch.executors.notices.collecting import Collected, collect
from gwbatch.executors.notices.looking import look, map_file
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.handlers.messages import SecondNotice
from gwbatch.ledger import Transaction, effects, public_notices, timers
from gwbatch.ledger.mirror import Mirror
from gwbatch.ledger.public_notices import PublicNotice
from gwbatch.runtime import Runtime

LOOK_AGAIN = 0.1  # s while something is missing that is expected any moment
HIGH_PROFILE = "HIGH_PROFILE"
TAG = ("em_follow",)


class Changed(TransientError):
    """What a notice is made of has changed while it was written: it is written anew."""

    retry_after = 0.001


@dataclass(frozen=True)
class Body:
    """The bytes of a notice for some brokers; `variant` 0 is the whole notice."""

    variant: int
    left_out: str | None
    content: bytes


@executor(FreezeNotice)
def freeze(claim: Claim[FreezeNotice], runtime: Runtime) -> EffectResult:
    """Judge a notice and fix it, or say why it does not go out."""
    effect, connection, now = claim.effect, runtime.ledger.connection, runtime.clock.now()
    notice = public_notices.get(connection, effect.notice)
    if notice is None or notice.state != "planned":
        return EffectResult.skipped("frozen or refused before")
    kind, seen = kind_named(notice.kind), look(connection, effect.superevent, notice)
    if seen is None:
        raise BadInput(f"Cannot write a notice about {effect.superevent}: there is no such superevent.")
    reason = refusal(kind, seen, runtime.policy) or _too_old(notice, runtime, now)
    if reason is not None:
        return EffectResult({"refused": reason}, lambda tx: _refuse(tx, notice, seen, reason, runtime))
    superevent_id = runtime.graceid(seen.superevent.key)
    collected = collect(seen, files_of(runtime)) if kind.has_event else Collected(Contents())
    _wait_for_products(notice, collected, runtime, now)
    without = [name for name in collected.missing | collected.unusable if not _goes_without(notice, name, runtime)]
    if without:
        lacks = f"it must not go without {', '.join(without)}"
        return EffectResult({"refused": lacks}, lambda tx: _refuse(tx, notice, seen, lacks, runtime))
    if kind.checks_data:
        _wait_for_data_quality(notice, runtime, now)
    if kind.has_event:
        _wait_for_gracedb(notice, seen, runtime, now)
    try:
        record = build(
            kind,
            seen,
            collected.contents,
            urls_of(superevent_id, seen, collected, runtime.profile),
            runtime.policy,
            now,
        )
        check(record)
    except BadInput as error:
        said = str(error)
        return EffectResult({"refused": said}, lambda tx: _refuse(tx, notice, seen, said, runtime))
    brokers = runtime.profile.alerts.brokers_for(notice.category)
    bodies = {name: body_for(record, broker) for name, broker in brokers.items()}
    whole = encode(record, "json")  # GraceDB keeps this one
    hit("notice.before_freeze")

    def commit(tx: Transaction) -> None:
        if look(tx, effect.superevent, notice) != seen:
            raise Changed(f"The notice {effect.name} about {effect.superevent} is written anew: something has changed.")
        _fix(tx, notice, seen, collected, record, whole, bodies, runtime)

    return EffectResult({"missing": collected.missing, "unusable": collected.unusable}, commit)


# ---- waiting -----------------------------------------------------------------------------------------------


def _too_old(notice: PublicNotice, runtime: Runtime, now: float) -> str | None:
    """An automatic notice that could not be written for hours is for a person to decide on."""
    if kind_named(notice.kind).is_automatic and now - notice.planned > runtime.policy.alerts.oldest:
        return (
            f"it could not be written for {now - notice.planned:.0f} s; if it shall still go out, order it: gwbatch "
            "alerts send"
        )
    return None


def _wait_for_products(notice: PublicNotice, collected: Collected, runtime: Runtime, now: float) -> None:
    settings = runtime.policy.alerts
    for name, reason in collected.missing.items():
        end = notice.planned + settings.product_wait(notice.kind, name)
        if now < end:
            raise NotThereYet(f"The notice {notice.name} waits for {name}: {reason}.", LOOK_AGAIN, end)


def _wait_for_data_quality(notice: PublicNotice, runtime: Runtime, now: float) -> None:
    """Wait until the data around the superevent are judged; the check itself takes a bounded time."""
    end = notice.planned + runtime.policy.alerts.data_quality.wait + LOOK_AGAIN
    check = CheckData(notice.superevent, notice.name).key
    if now < end and _is_under_way(check, runtime):
        raise NotThereYet(f"The notice {notice.name} waits for the check of the data.", LOOK_AGAIN, end)


def _is_under_way(key: str, runtime: Runtime) -> bool:
    return bool(runtime.ledger.read("SELECT 1 FROM effects WHERE key = ? AND state IN ('ready', 'running')", (key,)))


def _goes_without(notice: PublicNotice, name: str, runtime: Runtime) -> bool:
    return runtime.policy.alerts.goes_without(notice.kind, name)


def _wait_for_gracedb(notice: PublicNotice, seen: Seen, runtime: Runtime, now: float) -> None:
    """Wait, a short while, until the links of a notice lead somewhere."""
    end = notice.planned + runtime.policy.alerts.url_wait
    if not runtime.profile.gracedb.url or runtime.profile.alerts.dry_run or now >= end:
        return
    if MAP in seen.products and map_file(seen) is None:
        raise NotThereYet(f"The notice {notice.name} waits for the sky map to be in GraceDB.", LOOK_AGAIN, end)
    expose = Expose(seen.superevent.key).key
    if _is_under_way(expose, runtime):
        raise NotThereYet(f"The notice {notice.name} waits for the superevent to be public.", LOOK_AGAIN, end)


# ---- what it says ------------------------------------------------------------------------------------------


def urls_of(superevent_id: str, seen: Seen, collected: Collected, profile: Profile) -> dict[str, str]:
    """Return where people find the superevent, and its maps where the notice holds them."""
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
    """Return the largest form of a notice that a broker takes."""
    content = encode(record, broker.format)
    if len(content) <= broker.max_bytes:
        return Body(0, None, content)
    body = Body(0, None, content)
    for number, (reduced, left_out) in enumerate(smaller(record), start=1):
        body = Body(number, left_out, encode(reduced, broker.format))
        if len(body.content) <= broker.max_bytes:
            break
    return body


# ---- in the transaction ------------------------------------------------------------------------------------


def _fix(
    tx: Transaction,
    notice: PublicNotice,
    seen: Seen,
    collected: Collected,
    record: dict[str, Any],
    whole: bytes,
    bodies: dict[str, Body],
    runtime: Runtime,
) -> None:
    now, alerts, kind = runtime.clock.now(), runtime.profile.alerts, kind_named(notice.kind)
    name = f"{record['urls']['gracedb']}{notice.kind}/{notice.ordinal}"
    decision = {
        "preferred": seen.superevent.preferred,
        "labels": list(seen.superevent.labels),
        "used": collected.used,
        "missing": collected.missing,
        "unusable": collected.unusable,
    }
    state = "dry-run" if alerts.dry_run else "frozen"
    uid = uuid.uuid5(uuid.NAMESPACE_URL, name)
    public_notices.freeze(tx, notice.id, state, str(uid), with_maps(record, len), decision, now)
    public_notices.put_body(tx, notice.id, "json", 0, whole)
    key = notice.superevent
    for broker, body in bodies.items():
        settings = alerts.brokers[broker]
        if (settings.format, body.variant) != ("json", 0):
            public_notices.put_body(tx, notice.id, settings.format, body.variant, body.content)
        withheld = "dry run" if alerts.dry_run else None
        public_notices.put_send(
            tx, notice.id, broker, settings.topic, settings.format, body.variant, body.left_out, withheld
        )
        if not alerts.dry_run:
            effects.ask_for(tx, PublishNotice(key, notice.id, notice.name, broker), now)
    if alerts.dry_run:
        schedule_second(tx, notice, now, runtime)
        return
    if not bodies:
        public_notices.withhold(
            tx, notice.id, "", f"the site profile names no broker for {notice.category} superevents"
        )
    if kind.name == "preliminary" and seen.event is not None:
        _call_people(tx, notice, seen, collected, runtime)
    for file in [
        place["file"] for product, place in seen.products.items() if "file" in place and product in collected.used
    ]:
        effects.ask_for(tx, TagFile(key, file, "public"), now)
    if collected.missing or collected.unusable:
        lacking = "; ".join(f"{what}: {why}" for what, why in {**collected.missing, **collected.unusable}.items())
        text = f"The {notice.name} notice goes without: {lacking}"
        effects.ask_for(tx, Log(key, text, TAG, f"notice/{notice.name}/lacks"), now)
    hit("notice.frozen")


def _refuse(tx: Transaction, notice: PublicNotice, seen: Seen, reason: str, runtime: Runtime) -> None:
    """Write down why a notice does not go out, here and on the superevent."""
    public_notices.refuse(tx, notice.id, reason)
    if not runtime.profile.alerts.dry_run:
        text = f"No {notice.name} notice is sent: {reason}"
        occasion = f"notice/{notice.name}/refused/{notice.planned:.3f}"
        effects.ask_for(tx, Log(notice.superevent, text, TAG, occasion), runtime.clock.now(), None)


def _call_people(tx: Transaction, notice: PublicNotice, seen: Seen, collected: Collected, runtime: Runtime) -> None:
    """Set HIGH_PROFILE where the first preliminary notice deserves it; with a combined map that is judged elsewhere."""
    if HIGH_PROFILE in seen.labels or seen.external is not None or seen.event is None:
        return
    mirror = Mirror(tx)
    members = [event for graceid in seen.superevent.events if (event := mirror.event(graceid)) is not None]
    shown = mirror.product(seen.superevent.preferred, MAP)
    area = None if shown is None else shown.facts.get("area_90")
    contents = collected.contents
    reason = high_profile(
        members, seen.event, contents.classification or {}, contents.properties or {}, area,
        runtime.policy.alerts.high_profile,
    )  # fmt: skip
    if reason is not None:
        now = runtime.clock.now()
        log = Log(notice.superevent, f"High profile: {reason}", TAG, "high-profile")
        effects.ask_for(tx, log, now)
        effects.ask_for(tx, Label(notice.superevent, HIGH_PROFILE, after=log.key), now)


def schedule_second(tx: Transaction, notice: PublicNotice, now: float, runtime: Runtime) -> None:
    """Have the second notice of a kind follow, across restarts."""
    second = kind_named(notice.kind).second
    if second is not None and notice.ordinal == 1:
        message = SecondNotice(notice.superevent, second)
        due = now + runtime.policy.alerts.second_after
        timers.schedule(tx, message, f"{notice.superevent}/{second}", due, because=None)
