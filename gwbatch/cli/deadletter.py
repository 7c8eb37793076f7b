"""``gwbatch deadletter``: what could not be processed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gwbatch.cli import listing
from gwbatch.cli.options import json_option, ledger_path, state_option
from gwbatch.errors import ConfigError, GwbatchError


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
@json_option
def show(identifier: str, state: Path | None, as_json: bool) -> None:
    """Show one with its payload and traceback."""
    from gwbatch.ledger import Ledger, query

    kind, number = _parse(identifier)
    sql = query("dead_message") if kind == "m" else "SELECT * FROM effects WHERE id = ? AND state = 'dead'"
    rows = Ledger(ledger_path(state)).read(sql, (number,))
    if not rows:
        raise _missing(identifier)
    found = {name: _text(rows[0][name]) for name in rows[0].keys()}  # noqa: SIM118 (a Row is no mapping)
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
    """Hand one (or --all) over to be processed again."""
    from gwbatch.executors.registry import retry_dead
    from gwbatch.ledger import Ledger, in_force, messages
    from gwbatch.plugins import import_plugins

    if bool(identifier) == everything:
        raise ConfigError("Name one dead letter, or say --all.")
    ledger = Ledger(ledger_path(state))
    profile = in_force.recorded_profile(ledger)
    if profile is not None:
        import_plugins(profile.plugins, profile.plugin_folders)  # what follows from a retry is up to their executors
    with ledger.transaction() as tx:
        if identifier is None:
            count = messages.retry_dead(tx) + retry_dead(tx)
        else:
            kind, number = _parse(identifier)
            if kind == "m":
                count = messages.retry_dead(tx, number)
            else:
                row = tx.execute("SELECT key FROM effects WHERE id = ?", (number,)).fetchone()
                count = retry_dead(tx, row["key"]) if row else 0
    if not count and identifier is not None:
        raise _missing(identifier)
    click.echo(f"{count} handed over.")


def _parse(identifier: str) -> tuple[str, int]:
    """Return kind (``m`` or ``e``) and number of an ID as ``deadletter list`` shows it."""
    kind, number = identifier[:1], identifier[1:]
    if kind not in ("m", "e") or not (number.isascii() and number.isdigit() and len(number) < 19):
        raise _missing(identifier)
    return kind, int(number)


def _missing(identifier: str) -> GwbatchError:
    return ConfigError(f"There is no dead letter {identifier!r}; see 'gwbatch deadletter list'.")


def _text(value: Any) -> Any:
    return value[:100_000].decode(errors="replace") if isinstance(value, bytes) else value
