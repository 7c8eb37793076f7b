"""Comparison of a superevent's public notices in the ledger with those in GraceDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gwbatch.effects.notices import RecallNotices
from gwbatch.ledger import Ledger
from gwbatch.mirror import public_notices
from gwbatch.reconcile.difference import Difference, Remedy
from gwbatch.superevents import Superevent


def compare(ledger: Ledger, ours: Superevent, created: Iterable[str]) -> Iterator[Difference]:
    """Yield the differences; `created` holds ``time_created`` of every notice that GraceDB has for the superevent."""
    known = public_notices.about(ledger.connection, ours.key)
    theirs, subject = set(created), ours.superevent_id or ours.key
    for notice in known:
        if notice.state == "stored" and not notice.is_foreign and notice.time_created not in theirs:
            effect = f"{ours.key}/notice/{notice.name}/store"
            why = "gwbatch is right: it sent the notice and stored it in GraceDB"
            yield Difference(subject, f"notice {notice.name}", "stored", "missing", Remedy.WRITE, why, effect)
    if theirs - {notice.time_created for notice in known}:
        why = "GraceDB is right: another dispatcher sent one that this ledger does not know"
        yield Difference(
            subject, "notices", "unknown", "there", Remedy.WRITE, why, ask=RecallNotices(superevent=ours.key)
        )
