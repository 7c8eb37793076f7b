"""The conditions that a notice waits for before it is frozen, each for a bounded time."""

from __future__ import annotations

from gwbatch.alerts import Seen, kind_named
from gwbatch.annotation.graph import MAP
from gwbatch.effects.notices import CheckData, Expose, RecallNotices
from gwbatch.errors import NotThereYet
from gwbatch.executors.notices.collecting import Collected
from gwbatch.executors.notices.looking import map_file
from gwbatch.keys import creation_of
from gwbatch.ledger import effects
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.runtime import Runtime

LOOK_AGAIN = 0.1  # s between attempts for what is expected at any moment
WOKEN = 2.0  # s between attempts for what also wakes the notice when it arrives


def too_old(notice: PublicNotice, runtime: Runtime, now: float) -> str | None:
    """Return why an automatic notice is too old to go out unless a person orders it, or None."""
    waited = now - notice.planned
    if kind_named(notice.kind).is_automatic and waited > runtime.policy.alerts.oldest:
        return f"it could not be written for {waited:.0f} s. To send it nevertheless, order it: gwbatch alerts send"
    return None


def wait_for_what_gracedb_has(notice: PublicNotice, runtime: Runtime, now: float) -> None:
    """Raise `NotThereYet` until the superevent is in GraceDB and GraceDB has listed the notices sent already."""
    wait, creation = runtime.policy.alerts.url_wait, creation_of(notice.superevent)
    if creation is not None and _is_under_way(creation, runtime):  # its creation decides whether to ask
        raise NotThereYet(f"The notice {notice.name} waits for its superevent.", WOKEN, notice.planned + wait)
    asked = _under_way_since(RecallNotices(notice.superevent).key, runtime)
    if asked is not None and now < asked + wait:
        text = f"The notice {notice.name} waits for GraceDB to list the notices already sent."
        raise NotThereYet(text, WOKEN, asked + wait)


def wait_for_products(notice: PublicNotice, collected: Collected, runtime: Runtime, now: float) -> None:
    """Raise `NotThereYet` while a product that is worth waiting for is missing."""
    for name, reason in collected.missing.items():
        end = notice.planned + runtime.policy.alerts.product_wait(notice.kind, name)
        if now < end:
            raise NotThereYet(f"The notice {notice.name} waits for {name}: {reason}.", LOOK_AGAIN, end)


def wait_for_data_quality(notice: PublicNotice, runtime: Runtime, now: float) -> None:
    """Raise `NotThereYet` while the data around the superevent are being judged."""
    end = notice.planned + runtime.policy.alerts.data_quality.wait + LOOK_AGAIN
    check = CheckData(notice.superevent, notice.name).key
    if now < end and _is_under_way(check, runtime):
        raise NotThereYet(f"The notice {notice.name} waits for the data-quality check.", LOOK_AGAIN, end)


def wait_for_gracedb(notice: PublicNotice, seen: Seen, runtime: Runtime, now: float) -> None:
    """Raise `NotThereYet` until the links of a notice work."""
    end = notice.planned + runtime.policy.alerts.url_wait
    if not runtime.profile.gracedb.url or runtime.profile.alerts.dry_run or now >= end:
        return
    if MAP in seen.products and map_file(seen) is None:
        raise NotThereYet(f"The notice {notice.name} waits for the sky map to be in GraceDB.", LOOK_AGAIN, end)
    if _is_under_way(Expose(seen.superevent.key).key, runtime):
        raise NotThereYet(f"The notice {notice.name} waits for the superevent to be public.", LOOK_AGAIN, end)


def _is_under_way(key: str, runtime: Runtime) -> bool:
    return _under_way_since(key, runtime) is not None


def _under_way_since(key: str, runtime: Runtime) -> float | None:
    return effects.open_since(runtime.ledger.connection, key)
