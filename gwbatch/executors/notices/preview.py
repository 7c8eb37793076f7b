"""Preview of a notice as it would go out now, for people who consider sending one; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gwbatch.alerts import Contents, kind_named, refusal
from gwbatch.alerts.encoding import check, with_maps
from gwbatch.alerts.judgement import refusal_at_start
from gwbatch.alerts.record import build
from gwbatch.config.policy import Policy
from gwbatch.config.profile import Profile
from gwbatch.errors import BadInput, ConfigError
from gwbatch.executors.notices.collecting import Collected, collect
from gwbatch.executors.notices.freezing import body_for, urls_of
from gwbatch.executors.notices.looking import look
from gwbatch.files import Files
from gwbatch.gracedb import GraceDB, make_client
from gwbatch.ledger import Ledger, alert_switch
from gwbatch.mirror.public_notices import PublicNotice


def preview(
    ledger: Ledger, superevent: str, kind: str, files: Mapping[str, str], policy: Policy, profile: Profile, state: Path
) -> dict[str, Any]:
    """Return what a notice would say, which brokers would get it, and what would stop it.

    Parameters
    ----------
    files : mapping
        Product to ``NAME,VERSION`` of the superevent, for those chosen manually.

    Returns
    -------
    dict
        ``superevent_id``, ``kind``, ``refused`` (a reason, or None), ``record`` (maps as their size in bytes),
        ``missing``, ``unusable``, ``mode`` and ``brokers``.
    """
    chosen = kind_named(kind)
    now = time.time()
    orders = {"files": dict(files)}
    planned = PublicNotice(
        0, superevent, kind, 1, "planned", None, orders, "", now, None, None, None, None, None, None, None, None, None
    )
    seen = look(ledger.connection, superevent, planned)
    if seen is None:
        raise ConfigError(f"There is no superevent {superevent!r}; see 'gwbatch superevent list'.")
    name = seen.superevent.superevent_id
    if name is None:
        raise ConfigError(f"Superevent {superevent} has no GraceDB ID yet.")

    def server() -> GraceDB:
        return GraceDB(make_client(profile.gracedb))

    reader = Files(state / "files", server, lambda key: name if key == superevent else key)
    collected = collect(seen, reader) if chosen.has_event else Collected(Contents())
    refused = refusal_at_start(chosen, seen.labels) or refusal(chosen, seen, policy)
    record: dict[str, Any] | None = None
    try:
        record = build(chosen, seen, collected.contents, urls_of(name, seen, collected, profile), policy, now)
        check(record)
    except BadInput as error:
        refused = refused or str(error)
    return {
        "superevent_id": name,
        "kind": kind,
        "refused": refused,
        "record": None if record is None else with_maps(record, len),
        "missing": collected.missing,
        "unusable": collected.unusable,
        "mode": profile.alerts.mode,
        "brokers": {} if record is None else _brokers(record, seen.superevent.category, ledger, profile),
    }


def _brokers(record: dict[str, Any], category: str, ledger: Ledger, profile: Profile) -> dict[str, Any]:
    """Return the brokers that would get a notice, with its size and the obstacle, if any, for each of them."""
    found = {}
    for name, settings in profile.alerts.brokers_for(category).items():
        body = body_for(record, settings)
        found[name] = {
            "topic": alert_switch.place(settings),
            "format": settings.format,
            "bytes": len(body.content),
            "left_out": body.left_out,
            "obstacle": alert_switch.obstacle(ledger.connection, settings),
        }
    return found
