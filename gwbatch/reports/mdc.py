"""Completeness of mock superevents: the notices that each one has had, and those that are overdue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gwbatch.ledger import Ledger
from gwbatch.mirror import public_notices
from gwbatch.reports import query

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy

GRACE = 120.0  # s that each notice may be late
SIGNOFF_AFTER = 600.0  # s after which a mock superevent is signed off, as in the field


def sequences(ledger: Ledger, policy: Policy, now: float, hours: float = 6.0) -> list[dict[str, Any]]:
    """Return the mock superevents of the last `hours`, newest first, each with its notices and what is missing.

    Returns
    -------
    list of dict
        ``superevent_id``, ``created`` (Unix s), ``notices`` (name to s from ``created`` to the first broker),
        ``refused`` and ``missing`` (names).
    """
    rows = ledger.read(
        query("mock_superevents"),
        (now - hours * 3600,),
    )
    return [_sequence(ledger, row, policy, now) for row in rows]


def _sequence(ledger: Ledger, row: Any, policy: Policy, now: float) -> dict[str, Any]:
    notices = public_notices.about(ledger.connection, row["key"])
    sent = {one.name: one.delivered - row["created"] for one in notices if one.delivered is not None}
    refused = {one.name for one in notices if one.state == "refused"}
    second = policy.alerts.second_after
    due = {"preliminary": GRACE, "second-preliminary": second + 2 * GRACE}
    missing = [name for name, after in due.items() if now - row["created"] > after and name not in sent]
    if now - row["created"] > SIGNOFF_AFTER + 2 * GRACE and not {"initial", "retraction"} & sent.keys():
        missing.append("initial or retraction")
    return {
        "superevent_id": row["graceid"] or row["key"],
        "created": row["created"],
        "notices": sent,
        "refused": sorted(refused),
        "missing": [name for name in missing if name not in refused],
    }
