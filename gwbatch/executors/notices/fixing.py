"""Recording of a frozen or refused notice in one transaction, with everything that follows from it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from gwbatch.alerts import Seen, kind_named
from gwbatch.alerts.encoding import with_maps
from gwbatch.alerts.profile import high_profile
from gwbatch.effects.kinds import Label, Log
from gwbatch.effects.notices import PublishNotice, TagFile
from gwbatch.executors.notices.collecting import Collected
from gwbatch.handlers.messages import SecondNotice
from gwbatch.ledger import Transaction, effects, timers
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime

HIGH_PROFILE = "HIGH_PROFILE"
TAG = ("em_follow",)


@dataclass(frozen=True)
class Body:
    """The bytes of a notice for a broker; `variant` 0 is the whole notice, others lack what `left_out` names."""

    variant: int
    left_out: str | None
    content: bytes


@dataclass(frozen=True)
class Written:
    """A notice that is ready to be recorded as frozen.

    Attributes
    ----------
    record : dict
        Its content, with maps as bytes.
    whole : bytes
        The whole notice as JSON, for GraceDB.
    bodies : dict
        Broker to the bytes that it gets.
    area : float or None
        Area of the 90 % credible region of its map in deg², if it is needed and known.
    """

    record: dict[str, Any]
    whole: bytes
    bodies: dict[str, Body]
    area: float | None = None


def fix(
    tx: Transaction, notice: PublicNotice, seen: Seen, collected: Collected, written: Written, runtime: Runtime
) -> None:
    """Record the final content of a notice and, unless this is a dry run, request its delivery."""
    now, dry_run = runtime.clock.now(), runtime.profile.alerts.dry_run
    identity = f"{written.record['urls']['gracedb']}{notice.kind}/{notice.ordinal}"
    decision = {
        "preferred": seen.superevent.preferred,
        "labels": list(seen.superevent.labels),
        "used": collected.used,
        "missing": collected.missing,
        "unusable": collected.unusable,
    }
    state, uid = "dry-run" if dry_run else "frozen", str(uuid.uuid5(uuid.NAMESPACE_URL, identity))
    public_notices.freeze(tx, notice.id, state, uid, with_maps(written.record, len), decision, now)
    public_notices.put_body(tx, notice.id, "json", 0, written.whole)
    for broker, body in written.bodies.items():
        _address(tx, notice, broker, body, runtime)
    if dry_run:
        schedule_second(tx, notice, now, runtime)
        return
    if not written.bodies:
        nowhere = f"the site profile names no broker for {notice.category} superevents"
        public_notices.withhold(tx, notice.id, "", nowhere)
    if kind_named(notice.kind).calls_people:
        _call_people(tx, notice, seen, collected, written.area, runtime)
    for product in collected.used:
        if "file" in seen.products[product]:
            effects.request(tx, TagFile(notice.superevent, seen.products[product]["file"], "public"), now)
    if collected.missing or collected.unusable:
        lacking = "; ".join(f"{what}: {why}" for what, why in {**collected.missing, **collected.unusable}.items())
        text = f"The {notice.name} notice goes out without: {lacking}"
        effects.request(tx, Log(notice.superevent, text, TAG, f"notice/{notice.name}/lacks"), now)


def _address(tx: Transaction, notice: PublicNotice, broker: str, body: Body, runtime: Runtime) -> None:
    """Store the bytes that a broker gets and, unless this is a dry run, request their delivery."""
    alerts = runtime.profile.alerts
    settings = alerts.brokers[broker]
    if (settings.format, body.variant) != ("json", 0):
        public_notices.put_body(tx, notice.id, settings.format, body.variant, body.content)
    withheld = "dry run" if alerts.dry_run else None
    public_notices.put_send(
        tx, notice.id, broker, settings.topic, settings.format, body.variant, body.left_out, withheld
    )  # fmt: skip
    if not alerts.dry_run:
        effects.request(tx, PublishNotice(notice.superevent, notice.id, notice.name, broker), runtime.clock.now())


def refuse(tx: Transaction, notice: PublicNotice, reason: str, runtime: Runtime) -> None:
    """Record why a notice does not go out, here and, unless this is a dry run, on the superevent."""
    public_notices.refuse(tx, notice.id, reason)
    if not runtime.profile.alerts.dry_run:
        text = f"The {notice.name} notice is not sent: {reason}"
        occasion = f"notice/{notice.name}/refused/{notice.planned:.3f}"
        effects.request(tx, Log(notice.superevent, text, TAG, occasion), runtime.clock.now())


def _call_people(
    tx: Transaction, notice: PublicNotice, seen: Seen, collected: Collected, area: float | None, runtime: Runtime
) -> None:
    """Set HIGH_PROFILE if a preliminary notice deserves it; with an external event, that is decided elsewhere."""
    if HIGH_PROFILE in seen.labels or seen.external is not None or seen.event is None:
        return
    mirror, contents = SupereventStore(tx), collected.contents
    members = [event for graceid in seen.superevent.events if (event := mirror.event(graceid)) is not None]
    reason = high_profile(
        members, seen.event, contents.classification or {}, contents.properties or {}, area,
        runtime.policy.alerts.high_profile,
    )  # fmt: skip
    if reason is not None:
        now = runtime.clock.now()
        log = Log(notice.superevent, f"High profile: {reason}", TAG, "high-profile")
        effects.request(tx, log, now)
        effects.request(tx, Label(notice.superevent, HIGH_PROFILE, after=log.key), now)


def schedule_second(tx: Transaction, notice: PublicNotice, now: float, runtime: Runtime) -> None:
    """Schedule the follow-up to a kind's first notice, if there is one; the timer survives restarts."""
    second = kind_named(notice.kind).second
    if second is not None and notice.ordinal == 1:
        due = now + runtime.policy.alerts.second_after
        timers.schedule(tx, SecondNotice(notice.superevent, second), f"{notice.superevent}/{second}", due)
