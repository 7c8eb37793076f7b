"""``gwbatch deadletter``: what could not be processed."""

from __future__ import annotations

from pathlib import Path

import click

from gwbatch.cli import listing
from gwbatch.cli.options import json_option, ledger_path, state_option


@click.group("deadletter")
def command() -> None:
    """Messages and effects that could not be processed, with their reasons.

    \b
    Examples:
      gwbatch deadletter list
      gwbatch deadletter show m17
      gwbatch deadletter retry m17
    """


@command.command("list")
@state_option
@json_option
def list_dead(state: Path | None, as_json: bool) -> None:
    """List them, newest first."""
    from gwbatch.ledger import Ledger
    from gwbatch.ledger.report import dead_letters

    found = dead_letters(Ledger(ledger_path(state)), limit=1000)
    listing.show(found, as_json, lambda one: f"{one['id']:8s} {one['what']:40s} {one['reason']}", "dead letters")


@command.command()
@click.argument("identifier")
@state_option
def show(identifier: str, state: Path | None) -> None:
    """Show one with its payload and traceback."""
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger, query

    ledger = Ledger(ledger_path(state))
    kind, number = identifier[:1], identifier[1:]
    sql = query("dead_message") if kind == "m" else "SELECT * FROM effects WHERE id = ?"
    rows = ledger.read(sql, (number,)) if number.isdigit() and kind in "me" else []
    if not rows:
        raise ConfigError(f"There is no dead letter {identifier!r}; see 'gwbatch deadletter list'.")
    for name in rows[0].keys():  # noqa: SIM118 (a Row is no mapping)
        value = rows[0][name]
        text = value[:100_000].decode(errors="replace") if isinstance(value, bytes) else value
        click.echo(f"{name}: {text}")


@command.command()
@click.argument("identifier", required=False)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@state_option
def retry(identifier: str | None, everything: bool, state: Path | None) -> None:
    """Hand one (or --all) over to be processed again."""
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger, effects, messages

    if bool(identifier) == everything:
        raise ConfigError("Name one dead letter, or say --all.")
    ledger = Ledger(ledger_path(state))
    with ledger.transaction() as tx:
        if identifier is None:
            count = messages.retry_dead(tx) + effects.retry_dead(tx)
        elif identifier.startswith("m"):
            count = messages.retry_dead(tx, int(identifier[1:]))
        else:
            row = tx.execute("SELECT key FROM effects WHERE id = ?", (identifier[1:],)).fetchone()
            count = effects.retry_dead(tx, row["key"]) if row else 0
    if not count:
        raise ConfigError(f"There is no dead letter {identifier!r}; see 'gwbatch deadletter list'.")
    click.echo(f"{count} handed over.")
