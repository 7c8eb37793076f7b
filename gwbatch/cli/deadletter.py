"""``gwbatch deadletter``: what could not be processed."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path

import click

from gwbatch.cli import output
from gwbatch.cli.options import json_option, ledger_path, state_option
from gwbatch.errors import ConfigError


@click.group("deadletter")
def command() -> None:
    """List and retry messages and effects that could not be processed, with their reasons.

    
    Examples:
      gwbatch deadletter list
      gwbatch deadletter show m17
      gwbatch deadletter retry m17
    """


@command.command("list")
@state_option
@json_option
def list_dead(state: Path | None, as_json: bool) -> None:
    """List dead letters, newest first."""
    from gwbatch.ledger import Ledger
    from gwbatch.reports.status import dead_letters

    found = dead_letters(Ledger(ledger_path(state)), limit=1000)
    output.show(found, as_json, lambda one: f"{one['id']:8s} {one['what']:40s} {one['reason']}", "dead letters")


@command.command()
@click.argument("identifier")
@state_option
@json_option
def show(identifier: str, state: Path | None, as_json: bool) -> None:
    """Show a dead letter with its payload and traceback."""
    from gwbatch.ledger import Ledger, dead_letters
    from gwbatch.reports.detail import dead_letter

    found = dead_letter(Ledger(ledger_path(state)), identifier)
    if found is None:
        raise dead_letters.no_such(identifier)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        click.echo(f"{name}: {value}")


@command.command()
@click.argument("identifier", required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@state_option
def retry(identifier: str | None, everything: bool, state: Path | None) -> None:
    """Queue a dead letter (or --all of them) for processing again."""
    from gwbatch.executors import repairs
    from gwbatch.ledger import Ledger
    from gwbatch.orchestrator.commands import ordered

    if bool(identifier) == everything:
        raise ConfigError("Name one dead letter, or use --all.")
    ledger = Ledger(ledger_path(state))
    if identifier is None:
        click.echo(f"{repairs.retry_all_dead_letters(ledger)} queued.")
    else:
        click.echo(repairs.retry_dead_letter(ledger, identifier, ordered(getpass.getuser(), ""), time.time()))
