"""``gwbatch alerts``: public notices, and the switch that stops them."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli import output
from gwbatch.cli.options import (
    json_option,
    ledger_path,
    policy_in_force,
    profile_in_force,
    state_directory,
    state_option,
)
from gwbatch.cli.orders import hand_over, why_option, yes_option

if TYPE_CHECKING:
    from gwbatch.ledger import Ledger

LOOK = "gwbatch alerts list"
ABOUT = ("sky_localization", "em_bright", "p_astro", "raven", "cgmi")
"""What an update circular can be about, in the terms of the field's tool."""

FILES = {
    "map_file": "bayestar.multiorder.fits",
    "em_bright": "em_bright.json",
    "p_astro": "p_astro.json",
    "mchirp_source": "mchirp_source.json",
}


@click.group("alerts")
def command() -> None:
    """Show and send public alerts: what went out, what is waiting, and who ordered it.

    NOTICE is a number or SUPEREVENT/NAME; SUPEREVENT is GraceDB's ID or the local key.

    
    Examples:
      gwbatch alerts list
      gwbatch alerts show S240601a/preliminary
      gwbatch alerts preview S240601a --kind update
      gwbatch alerts update S240601a --map Bilby.multiorder.fits,0 --why "samples are there"
      gwbatch alerts circular S240601a --update sky_localization
      gwbatch alerts stop --why "wrong calibration at L1"
      gwbatch alerts enable
    """


# ---- looking ------------------------------------------------------------------------------------------------


@command.command("list")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
@state_option
@json_option
def list_all(limit: int, state: Path | None, as_json: bool) -> None:
    """List the newest notices and the state of each."""
    from gwbatch.reports import alerts

    ledger = _ledger(state)
    if not as_json:
        for line in switch_lines(alerts.overview(ledger, 0)):
            click.echo(line)
    output.show(alerts.notices(ledger, limit), as_json, notice_line, "notices")


def notice_line(one: dict[str, Any]) -> str:
    """Describe one notice in one line."""
    brokers = " ".join(f"{send['broker']}:{send['state']}" for send in one["brokers"])
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one["planned"]))
    name = f"{one['superevent_id'] or one['superevent']}/{one['name']}"
    return f"{one['id']:5d}  {at}  {name:36s} {one['state']:10s} {one['reason'] or brokers}"


def switch_lines(found: dict[str, Any]) -> list[str]:
    """Describe whether alerts go out, and where."""
    if found["mode"] == "off":
        return ["Alerts are off (alerts.mode in the site profile)."]
    if found["stopped"] is not None:
        off = found["stopped"]
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(off["at"]))
        why = f": {off['why']}" if off["why"] else ""
        return [f"ALERTS ARE STOPPED by {off['by']} since {at} UTC{why}. Resume with: gwbatch alerts enable"]
    what = "about MDC superevents only" if found["mode"] == "mdc" else "about production and MDC superevents"
    how = ", as a dry run: nothing is sent" if found["dry_run"] else ""
    where = ", ".join(f"{name} ({one['bootstrap']}/{one['topic']})" for name, one in found["brokers"].items())
    return [f"Alerts are on, {what}{how}; brokers: {where or 'none'}"]


@command.command()
@click.argument("notice")
@click.option("--body", is_flag=True, help="Print the whole notice as it was sent to GCN, maps and all.")
@state_option
@json_option
def show(notice: str, body: bool, state: Path | None, as_json: bool) -> None:
    """Show one notice: its content, where it was delivered, and where its time went."""
    from gwbatch.mirror import public_notices
    from gwbatch.reports import alerts

    ledger = _ledger(state)
    found = alerts.notice(ledger, notice)
    if found is None:
        raise _missing(notice)
    if body:
        content = public_notices.body(ledger.connection, found["id"], "json")
        if content is None:
            raise _gone(notice, found["state"])
        click.echo(content)
    elif as_json:
        click.echo(json.dumps(found))
    else:
        _print_notice(found)


def _print_notice(found: dict[str, Any]) -> None:
    click.echo(notice_line(found))
    if found["uid"]:
        click.echo(f"_id {found['uid']}")
    for send in found["brokers"]:
        place = "" if send["offset"] is None else f" at partition {send['partition']}, offset {send['offset']}"
        lacks = f", without {send['left_out']}" if send["left_out"] else ""
        reason = f": {send['reason']}" if send["reason"] else ""
        click.echo(f"  {send['broker']}: {send['state']}{place}{lacks}{reason}")
    decision = found["decision"] or {}
    for name, why in {**decision.get("missing", {}), **decision.get("unusable", {})}.items():
        click.echo(f"  without {name}: {why}")
    if found["record"] is not None:
        click.echo(json.dumps(found["record"], indent=2))
    for part in found["parts"]:
        click.echo(f"  {part['end'] - part['begin']:8.3f} s  {part['name']}")


@command.command()
@click.argument("superevent")
@click.option("--kind", default="ordered-preliminary", show_default=True, help="Which notice.")
@click.option("--map", "map_file", metavar="FILE,VERSION", help="Sky map of the superevent to send.")
@click.option("--em-bright", metavar="FILE,VERSION", help="Source properties to send.")
@click.option("--p-astro", metavar="FILE,VERSION", help="Source classification to send.")
@click.option("--mchirp-source", metavar="FILE,VERSION", help="Source-frame chirp mass to send.")
@state_option
@json_option
def preview(superevent: str, kind: str, state: Path | None, as_json: bool, **files: str | None) -> None:
    """Show a notice as it would go out now, who would get it, and what would stop it."""
    found = _preview(superevent, kind, files, state)
    if as_json:
        click.echo(json.dumps(found))
        return
    _print_preview(found)


def _preview(superevent: str, kind: str, files: dict[str, str | None], state: Path | None) -> dict[str, Any]:
    from gwbatch.executors.notices.preview import preview as look

    ledger = _ledger(state)
    policy, _ = policy_in_force(ledger, ())
    profile = profile_in_force(ledger_path(state), None, ())
    return look(ledger, _key(ledger, superevent), kind, _chosen(files), policy, profile, state_directory(state))


def _print_preview(found: dict[str, Any]) -> None:
    if found["record"] is not None:
        click.echo(json.dumps(found["record"], indent=2))
    for name, why in {**found["missing"], **found["unusable"]}.items():
        click.echo(f"without {name}: {why}")
    for name, broker in found["brokers"].items():
        lacks = f", without {broker['left_out']}" if broker["left_out"] else ""
        held = f"; WITHHELD: {broker['obstacle']}" if broker["obstacle"] else ""
        click.echo(f"to {name}: {broker['topic']}, {broker['format']}, {broker['bytes']} bytes{lacks}{held}")
    if not found["brokers"]:
        click.echo(f"Nobody would get it: no broker for this category, or alerts are {found['mode']}.")
    if found["refused"]:
        click.echo(click.style(f"It would NOT go out: {found['refused']}.", fg="red", bold=True))


@command.command()
@click.argument("about", metavar="SUPEREVENT|EXTERNAL")
@click.option(
    "--update", "changed", multiple=True, type=click.Choice(ABOUT), help="What an update has changed; repeatable."
)
@state_option
def circular(about: str, changed: tuple[str, ...], state: Path | None) -> None:
    """Print the draft of a circular; nothing is uploaded or sent.

    For a superevent, the circular is about its last notice, or with --update about what has changed since the first
    notice. For an external event (GraceDB ID), it is about the medium-latency search around that event.
    """
    from gwbatch import circulars
    from gwbatch.errors import ConfigError
    from gwbatch.mirror.externals import ExternalStore
    from gwbatch.mirror.superevents import SupereventStore

    ledger = _ledger(state)
    gracedb = profile_in_force(ledger_path(state), None, ()).gracedb
    if not gracedb.url:
        raise ConfigError("Cannot draft a circular: the dispatcher's site profile names no GraceDB server.")
    if ExternalStore(ledger.connection).by_graceid(about) is not None:
        if changed:
            raise ConfigError(f"Cannot draft the circular about {about}: --update applies to superevents only.")
        target, what = about, "medium-latency"
    else:
        superevent = SupereventStore(ledger.connection).superevent(_key(ledger, about))
        target = (superevent.superevent_id if superevent is not None else None) or about
        what = "update" if changed else "preliminary"
    request = circulars.Request(gracedb.url, gracedb.auth, gracedb.timeout, target, what, changed=changed)
    click.echo(circulars.draft(request))


@command.command()
@click.option("--hours", default=24.0, show_default=True, help="How far to look back.")
@click.option("--broker", help="Broker of the site profile whose topic to read.  [default: the first one]")
@state_option
@json_option
def compare(hours: float, broker: str | None, state: Path | None, as_json: bool) -> None:
    """Compare our notices, typically those of a dry run, with the ones on the topic, field by field.

    Exit code 0 only if every notice has a match and no field differs.
    """
    from gwbatch.errors import ConfigError
    from gwbatch.executors.notices.comparing import compare as look

    profile = profile_in_force(ledger_path(state), None, ())
    names = list(profile.alerts.brokers)
    if not names or (broker is not None and broker not in names):
        raise ConfigError(f"The site profile has no broker {broker or ''}: it has {', '.join(names) or 'none'}.")
    settings = profile.alerts.brokers[broker or names[0]]
    found = look(_ledger(state), settings, time.time() - hours * 3600)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for one in found:
            click.echo(f"{one['superevent_id']} {one['what']}: {one['verdict']}")
            for name, (ours, theirs) in one["differences"].items():
                click.echo(f"    {name}: ours {ours}, on the topic {theirs}")
        if not found:
            click.echo(f"No notice in the last {hours:g} h, neither here nor on the topic.")
    raise click.exceptions.Exit(0 if all(one["verdict"] == "same" for one in found) else 1)


# ---- orders -------------------------------------------------------------------------------------------------


@command.command()
@click.argument("superevent")
@click.option("--event", default="", help="Member to make the preferred event first.")
@why_option
@yes_option
@state_option
def send(superevent: str, event: str, why: str, yes: bool, state: Path | None) -> None:
    """Send a preliminary notice; thresholds and blocking labels still apply."""
    from gwbatch.handlers.messages import SendNotice

    ledger = _ledger(state)
    key = _key(ledger, superevent)
    if not yes:
        _print_preview(_preview(superevent, "ordered-preliminary", {}, state))
        if event:
            click.echo(f"{event} becomes the preferred event first: the notice will be about that one.")
        click.confirm("Send it?", abort=True)
    order = {"superevent": key, "kind": "ordered-preliminary", "event": event, "why": why}
    hand_over(ledger, SendNotice, LOOK, **order)


@command.command()
@click.argument("superevent")
@click.option("--map", "map_file", metavar="FILE,VERSION", required=True, help="Sky map of the superevent to send.")
@click.option("--em-bright", metavar="FILE,VERSION", help="Source properties to send.")
@click.option("--p-astro", metavar="FILE,VERSION", help="Source classification to send.")
@click.option("--mchirp-source", metavar="FILE,VERSION", help="Source-frame chirp mass to send.")
@why_option
@yes_option
@state_option
def update(superevent: str, why: str, yes: bool, state: Path | None, **files: str | None) -> None:
    """Send an update with chosen files of the superevent."""
    from gwbatch.handlers.messages import SendNotice

    ledger = _ledger(state)
    key = _key(ledger, superevent)
    if not yes:
        _print_preview(_preview(superevent, "update", files, state))
        click.confirm("Send it?", abort=True)
    hand_over(ledger, SendNotice, LOOK, superevent=key, kind="update", files=_chosen(files), why=why)


@command.command()
@click.argument("notice")
@why_option
@state_option
def release(notice: str, why: str, state: Path | None) -> None:
    """Send a notice that was withheld."""
    from gwbatch.errors import ConfigError
    from gwbatch.handlers.messages import ReleaseNotice
    from gwbatch.reports import alerts

    ledger = _ledger(state)
    found = alerts.notice(ledger, notice)
    if found is None:
        raise _missing(notice)
    if not any(send["state"] == "withheld" for send in found["brokers"]):
        raise ConfigError(f"Cannot release {notice}: it is {found['state']}, and no broker's copy is withheld.")
    hand_over(ledger, ReleaseNotice, LOOK, notice=found["id"], why=why)


@command.command()
@click.option("--why", default="", help="A reason, shown wherever the stop is shown.")
@state_option
def stop(why: str, state: Path | None) -> None:
    """Stop all alerts before the next notice leaves. They stay stopped across restarts."""
    from gwbatch.ledger import alert_switch

    with _ledger(state).transaction() as tx:
        alert_switch.stop(tx, getpass.getuser(), why, time.time())
    click.echo("Alerts are stopped. New notices are withheld. Resume with: gwbatch alerts enable")


@command.command()
@yes_option
@state_option
def enable(yes: bool, state: Path | None) -> None:
    """Allow notices to go to the brokers of the dispatcher's site profile, for the first time or after a stop."""
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import alert_switch
    from gwbatch.reports import alerts

    ledger = _ledger(state)
    profile = profile_in_force(ledger_path(state), None, ())
    if profile.alerts.mode == "off":
        raise ConfigError(
            "Cannot enable alerts: they are off in the dispatcher's site profile. Set alerts.mode there, name the "
            "brokers, and start it again."
        )
    for name, broker in profile.alerts.brokers.items():
        public = "" if broker.is_loopback else "  <- the public reads this" if not profile.alerts.dry_run else ""
        click.echo(f"{name}: {alert_switch.place(broker)} ({', '.join(broker.categories)} superevents){public}")
    withheld = [one for one in alerts.notices(ledger, 1000) if one["state"] == "withheld"]
    for one in withheld[:20]:
        click.echo(f"stays withheld unless you release it: {notice_line(one)}")
    if not yes:
        click.confirm("Let notices leave to these brokers from now on?", abort=True)
    with ledger.transaction() as tx:
        alert_switch.enable(tx, getpass.getuser(), profile.alerts.brokers.values(), time.time())
    click.echo("Alerts are enabled.")


# ---- common -------------------------------------------------------------------------------------------------


def _ledger(state: Path | None) -> Ledger:
    from gwbatch.ledger import Ledger

    return Ledger(ledger_path(state))


def _key(ledger: Ledger, superevent: str) -> str:
    from gwbatch.errors import ConfigError
    from gwbatch.mirror.superevents import SupereventStore

    mirror = SupereventStore(ledger.connection)
    found = mirror.superevent(superevent) or mirror.superevent_named(superevent)
    if found is None:
        raise ConfigError(f"There is no superevent {superevent!r}; see 'gwbatch superevent list'.")
    return found.key


def _chosen(files: dict[str, str | None]) -> dict[str, str]:
    """Return the ``NAME,VERSION`` of each file that was named, by product."""
    from gwbatch.errors import ConfigError

    chosen = {}
    for option, product in FILES.items():
        file = files.get(option)
        if file is None:
            continue
        name, _, version = file.partition(",")
        if not name or not version.isdigit():
            raise ConfigError(f"Cannot tell the version of {name or file!r}: none is given. Write NAME,VERSION.")
        chosen[product] = file
    return chosen


def _missing(notice: str) -> Exception:
    from gwbatch.errors import ConfigError

    return ConfigError(f"There is no notice {notice!r}; see 'gwbatch alerts list'.")


def _gone(notice: str, state: str) -> Exception:
    from gwbatch.errors import ConfigError

    return ConfigError(f"Cannot show the content of {notice}: it is {state}, or so old that only GraceDB still has it.")
