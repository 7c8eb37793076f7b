"""``gwbatch jobs``: the jobs in the ledger, and manual intervention."""

from __future__ import annotations

import getpass
import json
import time
from pathlib import Path
from typing import Any

import click

from gwbatch.cli import output
from gwbatch.cli.options import json_option, ledger_path, state_option


@click.group("jobs")
def command() -> None:
    """List and show jobs; release, cancel or retry one.

    
    Examples:
      gwbatch jobs list --state-is HELD
      gwbatch jobs list --name S240601a
      gwbatch jobs show G123/localize
      gwbatch jobs release G123/localize
      gwbatch jobs cancel G123/localize
      gwbatch jobs retry G123/localize
    """


@command.command("list")
@click.option("--state-is", default="", metavar="STATE", help="Only jobs in this state: RUNNING, HELD, FAILED, ...")
@click.option("--name", default="", metavar="BEGINNING", help="Only jobs whose name or superevent begins with this.")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
@state_option
@json_option
def list_all(state_is: str, name: str, limit: int, state: Path | None, as_json: bool) -> None:
    """List the newest jobs."""
    from gwbatch.ledger import Ledger
    from gwbatch.reports.listings import Wanted, jobs

    found = jobs(Ledger(ledger_path(state)), Wanted(words=name, state=state_is, limit=limit)).rows
    output.show(found, as_json, _line, "jobs")


def _line(job: dict[str, Any]) -> str:
    return f"{job['state']:9s} {job['key']:50s} {job['host'] or '':16s} {job['reason'] or ''}"


@command.command()
@click.argument("job")
@state_option
@json_option
def show(job: str, state: Path | None, as_json: bool) -> None:
    """Show a job with what people ordered, its request, its result and the tails of its stdout and stderr."""
    from gwbatch.errors import ConfigError
    from gwbatch.gpstime import iso_text, unix_to_utc
    from gwbatch.ledger import Ledger
    from gwbatch.reports import detail

    found = detail.job(Ledger(ledger_path(state)), job)
    if found is None:
        raise ConfigError(f"There is no job {job!r}; see 'gwbatch jobs list'.")
    if as_json:
        click.echo(json.dumps(found))
        return
    ordered = found.pop("ordered")
    for order in ordered:
        click.echo(
            f"{iso_text(unix_to_utc(order['at']))}: {order['what']} of attempt {order['attempt']}, {order['reason']}"
        )
    for name, value in found.items():
        text = json.dumps(value) if isinstance(value, dict | list) else value
        click.echo(f"{name}: {text}" if name not in ("stdout", "stderr") else f"--- {name}\n{text or ''}")


@command.command()
@click.argument("job")
@state_option
def release(job: str, state: Path | None) -> None:
    """Release a held JOB."""
    _order(job, state, "release-job")


@command.command()
@click.argument("job")
@state_option
def cancel(job: str, state: Path | None) -> None:
    """Cancel JOB in the batch system; it is not retried."""
    _order(job, state, "cancel-job")


@command.command()
@click.argument("job")
@state_option
def retry(job: str, state: Path | None) -> None:
    """Submit a failed or cancelled JOB to the batch system again."""
    _order(job, state, "retry-job")


def _order(key: str, state: Path | None, name: str) -> None:
    from gwbatch.executors.repairs import REPAIRS
    from gwbatch.ledger import Ledger
    from gwbatch.orchestrator.commands import ordered

    _, carry_out = REPAIRS[name]
    said = carry_out(Ledger(ledger_path(state)), key, ordered(getpass.getuser(), ""), time.time())
    click.echo(f"{said} See 'gwbatch jobs show {key}'.")
