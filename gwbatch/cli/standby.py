"""``gwbatch standby``: pilots that wait for work, their number and their cost."""

from __future__ import annotations

import getpass
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import json_option, ledger_path, profile_in_force, state_option

if TYPE_CHECKING:
    from gwbatch.ledger import Ledger

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DAY = 86400.0


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Convert a duration such as ``90m`` or ``3h`` to seconds."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value)
    if not found or not float(found[1]):
        raise click.BadParameter(f"{value!r} is not a duration; write 90m, 3h or 2d.", ctx, param)
    return float(found[1]) * _UNITS[found[2]]


queue_option = click.option("--queue", default="openmp", show_default=True, help="Queue of the pilots.")


@click.group("standby")
def command() -> None:
    """Show and order pilots, which are jobs that have everything imported and wait, so that work starts at once.

    
    Examples:
      gwbatch standby list
      gwbatch standby set 2 --for 3h
      gwbatch standby clear
      gwbatch standby report --days 7
    """


@command.command("list")
@state_option
@json_option
def list_all(state: Path | None, as_json: bool) -> None:
    """List the existing pilots, and how many are wanted and why."""
    from dataclasses import asdict

    from gwbatch.ledger import standby

    connection = _ledger(state).connection
    pilots = [asdict(pilot) for pilot in standby.open_pilots(connection)]
    queues = standby.overview(connection, time.time())
    if as_json:
        click.echo(json.dumps({"queues": queues, "pilots": pilots}))
        return
    if not queues:
        click.echo("No pilots: the dispatcher's site profile has no [standby.QUEUE].")
    for queue, shown in queues.items():
        click.echo(f"{queue}: {shown['ready']} of {shown['wanted']} pilots ready ({shown['why']})")
    for pilot in pilots:
        click.echo(pilot_line(pilot))


def pilot_line(pilot: dict[str, Any]) -> str:
    """Describe one pilot in one line."""
    state = "ready" if pilot["ready"] is not None else pilot["state"].lower()
    where = f" on {pilot['host']}" if pilot["host"] else ""
    spent = f", {pilot['tasks']} tasks, busy {pilot['busy']:.0f} s, idle {pilot['idle']:.0f} s"
    return f"  {pilot['key']:24s} {state}{where}{spent if pilot['ready'] is not None else ''}"


@command.command("set")
@click.argument("pilots", type=click.IntRange(0, 1000))
@click.option(
    "--for",
    "span",
    callback=_seconds,
    metavar="TIME",
    help="How long the order lasts (90m, 3h, 2d).  [default: until 'standby clear']",
)
@queue_option
@state_option
def set_number(pilots: int, span: float | None, queue: str, state: Path | None) -> None:
    """Order a number of pilots, whatever the policy's rules say (its limits still apply)."""
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import standby

    ledger, now = _ledger(state), time.time()
    profile = profile_in_force(ledger_path(state), None, ())
    if queue not in profile.standby:
        raise ConfigError(
            f"Cannot order pilots for {queue} jobs: the dispatcher's site profile has no [standby.{queue}]. "
            "Add it, and restart the dispatcher."
        )
    until = None if span is None else now + span
    with ledger.transaction() as tx:
        standby.order(tx, queue, pilots, until, getpass.getuser(), now)
    end = (
        "until 'gwbatch standby clear'"
        if until is None
        else time.strftime("until %Y-%m-%d %H:%M UTC", time.gmtime(until))
    )
    click.echo(f"{pilots} pilots are ordered for {queue} jobs {end}. See them with: gwbatch standby list")


@command.command()
@queue_option
@state_option
def clear(queue: str, state: Path | None) -> None:
    """Cancel an order, so that the policy's rules decide again."""
    from gwbatch.ledger import standby

    with _ledger(state).transaction() as tx:
        had = standby.take_back_order(tx, queue, time.time())
    click.echo("The policy decides again." if had else f"Nothing was ordered for {queue} jobs.")


@command.command()
@click.option("--days", default=7.0, show_default=True, type=click.FloatRange(min=0.01), help="How far back.")
@queue_option
@state_option
@json_option
def report(days: float, queue: str, state: Path | None, as_json: bool) -> None:
    """Report how much node time pilots have cost and how much waiting they have saved."""
    from gwbatch.ledger import standby

    ledger, now = _ledger(state), time.time()
    found = {
        **standby.costs(ledger.connection, queue, now - days * DAY, now),
        **standby.saved(ledger.connection, queue, now - days * DAY),
    }
    if as_json:
        click.echo(json.dumps({"days": days, **found}))
        return
    click.echo(
        f"{found['pilots']} pilots in {days:g} days held nodes for {found['held'] / 3600:.2f} h: "
        f"{found['busy'] / 3600:.2f} h busy, {found['idle'] / 3600:.2f} h idle, "
        f"{max(0.0, found['held'] - found['busy'] - found['idle']) / 3600:.2f} h starting or ending"
    )
    for name in ("warm", "cold"):
        start = found[name]["median_start"]
        shown = "none" if start is None else f"started after {start:.2f} s (median)"
        click.echo(f"{name} jobs: {found[name]['n']}, {shown}")
    if found["saved"]:
        price = found["idle"] / found["saved"]
        click.echo(
            f"saved: {found['saved']:.0f} s in all; each second of waiting saved cost {price:.1f} idle node-seconds"
        )


def _ledger(state: Path | None) -> Ledger:
    from gwbatch.ledger import Ledger

    return Ledger(ledger_path(state))
