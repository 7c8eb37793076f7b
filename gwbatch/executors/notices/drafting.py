"""Drafts of circulars about stored notices, for people to read and send."""

from __future__ import annotations

import logging
from dataclasses import replace

from gwbatch import circulars
from gwbatch.alerts import kind_named
from gwbatch.circulars import Request
from gwbatch.effects.notices import DraftCircular
from gwbatch.errors import BadInput
from gwbatch.executors.gracedb import upload_file
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.ledger import Transaction
from gwbatch.mirror import public_notices
from gwbatch.mirror.public_notices import PublicNotice
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime
from gwbatch.superevents.ranking import RAVEN_ALERT, is_significant

TAG = "em_follow"

log = logging.getLogger(__name__)


@executor(DraftCircular)
def draft(claim: Claim[DraftCircular], runtime: Runtime) -> EffectResult:
    """Draft the circular about a notice; if that is impossible, log a warning and skip it."""
    notice = public_notices.get(runtime.ledger.connection, claim.effect.notice)
    circular = None if notice is None else kind_named(notice.kind).circular
    if notice is None or circular is None:
        return EffectResult.skipped("nothing to draft")
    target = runtime.graceid(claim.effect.superevent)
    request = _request(notice, target, circular, runtime)
    try:
        text = circulars.draft(request)
    except BadInput as error:
        log.warning("%s", error)
        return EffectResult.skipped(str(error))
    tags = (TAG, "ext_coinc") if request.raven else (TAG,)
    comment = f"Draft of the {circular} circular"
    upload_file(
        target, request.filename, text.encode(), comment, tags, runtime.gracedb(), repeated=claim.repeated, unique=True
    )  # fmt: skip

    def note(tx: Transaction) -> None:
        public_notices.drafted(tx, notice.id, runtime.clock.now())

    return EffectResult({"filename": request.filename}, note)


def _request(notice: PublicNotice, target: str, circular: str, runtime: Runtime) -> Request:
    gracedb, record = runtime.profile.gracedb, notice.record or {}
    raven = record.get("external_coinc") is not None
    return Request(
        gracedb.url, gracedb.auth, gracedb.timeout, target, circular, raven, raven and _is_subthreshold(notice, runtime)
    )


def _is_subthreshold(notice: PublicNotice, runtime: Runtime) -> bool:
    """Return whether the preferred event owes its significance to the external trigger."""
    preferred = (notice.decision or {}).get("preferred", "")
    event = SupereventStore(runtime.ledger.connection).event(preferred)
    if event is None:
        return False
    return not is_significant(replace(event, labels=event.labels - {RAVEN_ALERT}), runtime.policy)
