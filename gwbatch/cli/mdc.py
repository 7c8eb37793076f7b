"""``gwbatch mdc``: mock data as an end-to-end test."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from gwbatch.cli import output
from gwbatch.cli.options import (
    json_option,
    ledger_path,
    policy_in_force,
    profile_in_force,
    profile_options,
    state_option,
)


@click.group("mdc")
def command() -> None:
    """Upload a simulated event as if it had just been detected, and check that its notices went out.

    \b
    Examples:
      gwbatch mdc upload
      gwbatch mdc upload --burst
      gwbatch mdc upload --event 2 --site my-site.toml
      gwbatch mdc check --hours 6
    """


@command.command()
@click.option("--event", default=1, show_default=True, help="Which one; the simulated events take turns.")
@click.option("--burst", is_flag=True, help="Upload a matching Fermi burst, too.")
@click.option("--site", help="Site profile that names the GraceDB server.  [default: the dispatcher's own]")
@profile_options
@state_option
@json_option
def upload(
    event: int, burst: bool, site: str | None, settings: tuple[str, ...], state: Path | None, as_json: bool
) -> None:
    """Upload a mock event to GraceDB, with the search MDC and the current time."""
    from gwbatch import mdc
    from gwbatch.errors import ConfigError
    from gwbatch.gpstime import unix_to_utc, utc_to_gps
    from gwbatch.gracedb import make_client, translate_errors

    profile = profile_in_force(ledger_path(state), site, settings)
    if not profile.gracedb.url:
        raise ConfigError("Cannot upload a mock event: the site profile names no GraceDB server (gracedb.url).")
    with translate_errors("upload a mock event"):
        client, gps = make_client(profile.gracedb), utc_to_gps(unix_to_utc(time.time()))
        made = {"graceid": mdc.upload(client, event, gps)}
        if burst:
            made["burst"] = mdc.upload_burst(client, event, gps)
    click.echo(json.dumps(made) if as_json else f"Uploaded {' and '.join(made.values())}.")


@command.command()
@click.option("--hours", default=6.0, show_default=True, help="How far to look back.")
@click.option("--no-topic", is_flag=True, help="Do not read our own topic back.")
@click.option("--no-gracedb", is_flag=True, help="Do not ask GraceDB.")
@state_option
@json_option
def check(hours: float, no_topic: bool, no_gracedb: bool, state: Path | None, as_json: bool) -> None:
    """Show which notices about each mock superevent went out and when, by the ledger, the topics and GraceDB.

    Exit code 0 if no notice is missing, otherwise 2.
    """
    from gwbatch.executors.notices.comparing import published
    from gwbatch.executors.notices.recalling import notices_in_gracedb
    from gwbatch.gracedb import GraceDB, make_client
    from gwbatch.ledger import Ledger
    from gwbatch.reports.mdc import sequences

    ledger, now = Ledger(ledger_path(state)), time.time()
    policy, _ = policy_in_force(ledger, ())
    profile = profile_in_force(ledger_path(state), None, ())
    found = sequences(ledger, policy, now, hours)
    for broker, settings in ({} if no_topic else profile.alerts.brokers_for("mdc")).items():
        there = published(settings, now - hours * 3600)
        for one in found:
            seen = sorted(kind for name, kind in there if name == one["superevent_id"])
            one.setdefault("topics", {})[broker] = seen
            if len(seen) < len(one["notices"]):
                one["missing"].append(f"{len(one['notices']) - len(seen)} on the topic of {broker}")
    if profile.gracedb.url and not no_gracedb:
        server = GraceDB(make_client(profile.gracedb))
        for one in found:
            stored = notices_in_gracedb(one["superevent_id"], server)
            if stored is not None:
                one["gracedb"] = [notice["notice_type"] for notice in stored]
                if len(stored) < len(one["notices"]):
                    one["missing"].append(f"{len(one['notices']) - len(stored)} in GraceDB")
    output.show(found, as_json, _line, f"mock superevents in the last {hours:g} h")
    raise click.exceptions.Exit(2 if any(one["missing"] for one in found) else 0)


def _line(one: dict[str, Any]) -> str:
    sent = ", ".join(f"{name} after {after:.0f} s" for name, after in one["notices"].items()) or "no notice"
    topics = "; ".join(f"{broker}: {', '.join(seen) or 'nothing'}" for broker, seen in one.get("topics", {}).items())
    stored = f"  [GraceDB: {', '.join(one['gracedb']) or 'nothing'}]" if "gracedb" in one else ""
    missing = f"  MISSING: {', '.join(one['missing'])}" if one["missing"] else ""
    return f"{one['superevent_id']}  {sent}{'  [' + topics + ']' if topics else ''}{stored}{missing}"
