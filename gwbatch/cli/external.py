"""``gwbatch external``: external events, and orders about them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli import output
from gwbatch.cli.options import json_option, ledger_path, state_option
from gwbatch.cli.orders import hand_over, why_option, yes_option

if TYPE_CHECKING:
    from gwbatch.ledger import Ledger


@click.group("external")
def command() -> None:
    """Show external events (gamma-ray bursts, neutrinos and the like) and the superevents they coincide with.

    EXTERNAL is GraceDB's ID or the local key, as 'gwbatch external list' prints it.

    
    Examples:
      gwbatch external list
      gwbatch external show E123
      gwbatch external announce E123 --why "confirmed by Fermi by telephone"
      gwbatch external map E123 https://example.org/grb.fits.gz
    """


@command.command("list")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
@state_option
@json_option
def list_all(limit: int, state: Path | None, as_json: bool) -> None:
    """List the newest external events, each with the superevent it coincides with."""
    from gwbatch.reports.externals import externals

    output.show(externals(_ledger(state), limit), as_json, _line, "external events")


def _line(one: dict[str, Any]) -> str:
    with_whom = "" if one["superevent"] is None else f" with {one['superevent']}, joint FAR {one['far_time']:.3g} Hz"
    what = f"{one['observatory']} {one['trigger_id']} ({one['search']})"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one["utc"]))
    return f"{one['graceid'] or one['key']:10s} {at}  {what}{with_whom}  {' '.join(one['labels'])}"


@command.command()
@click.argument("external")
@state_option
@json_option
def show(external: str, state: Path | None, as_json: bool) -> None:
    """Show an external event: its trigger, why it is or is not a burst, and every superevent in its window."""
    found = _find(_ledger(state), external)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(_line(found))
    for reason in found["reasons"]:
        click.echo(f"  not what it looks for: {reason}")
    for one in found["coincidences"]:
        mark = "*" if one["chosen"] else " "
        sky = "" if one["far_spacetime"] is None else f", with the sky {one['far_spacetime']:.3g} Hz"
        announced = ", announced" if one["announced"] else ""
        click.echo(
            f"{mark} {one['superevent']}: {one['dt']:+.2f} s, joint FAR {one['far_time']:.3g} Hz{sky}{announced}"
        )


@command.command()
@click.argument("external")
@why_option
@yes_option
@state_option
def announce(external: str, why: str, yes: bool, state: Path | None) -> None:
    """Announce an external event with the superevent it coincides with, even if the policy would not.

    The RAVEN_ALERT labels make the preferred event publishable, and the next notice reports the coincidence.
    """
    from gwbatch.errors import ConfigError
    from gwbatch.handlers.messages import Announce

    ledger = _ledger(state)
    found = _find(ledger, external)
    match = next((one for one in found["coincidences"] if one["chosen"]), None)
    if match is None:
        raise ConfigError(f"Cannot announce {external}: it coincides with no superevent.")
    if match["announced"]:
        raise ConfigError(f"Cannot announce {external}: it has already been announced with {match['superevent']}.")
    if not yes:
        click.echo(f"{match['superevent']}: {match['dt']:+.2f} s, joint FAR {match['far_time']:.3g} Hz")
        click.confirm("Set RAVEN_ALERT on both and on the preferred event?", abort=True)
    look = f"gwbatch superevent show {match['superevent']}"
    hand_over(ledger, Announce, look, superevent=match["key"], external=found["key"], why=why)


@command.command("map")
@click.argument("external")
@click.argument("url")
@why_option
@state_option
def use_map(external: str, url: str, why: str, state: Path | None) -> None:
    """Use the HEALPix map at URL (https) for an external event, in preference to other maps of the same notice."""
    from gwbatch.errors import ConfigError
    from gwbatch.handlers.messages import UseMap

    if not url.startswith(("https://", "http://")):
        raise ConfigError(f"Cannot use {url} as a sky map: the address must begin with https://.")
    ledger = _ledger(state)
    found = _find(ledger, external)
    hand_over(ledger, UseMap, "gwbatch jobs list", external=found["key"], url=url, why=why)


def _ledger(state: Path | None) -> Ledger:
    from gwbatch.ledger import Ledger

    return Ledger(ledger_path(state))


def _find(ledger: Ledger, name: str) -> dict[str, Any]:
    from gwbatch.errors import ConfigError
    from gwbatch.reports.externals import external

    found = external(ledger, name)
    if found is None:
        raise ConfigError(f"There is no external event {name!r}; see 'gwbatch external list'.")
    return found
