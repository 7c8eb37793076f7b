"""``gwbatch restore``: a new state directory from a copy of a ledger."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from gwbatch.cli.options import json_option, state_directory, state_option


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@state_option
@json_option
def command(file: Path, state: Path | None, as_json: bool) -> None:
    """Make a new state directory from FILE, a copy that 'gwbatch backup' wrote.

    The listeners continue from where the copy was made, so later messages arrive again as far as the brokers still
    hold them. Nothing is done twice, because for a week the dispatcher asks GraceDB, the brokers and the batch system
    before it acts. Start the dispatcher afterwards, with the same site profile and policy. Make sure that no
    dispatcher on another machine still uses the lost ledger.

    \b
    Examples:
      gwbatch restore /backups/gwbatch.sqlite --state /var/lib/gwbatch-new
      gwbatch run --site my-site.toml --state /var/lib/gwbatch-new
    """
    from gwbatch.ledger.backup import restore

    found = restore(file, state_directory(state), time.time())
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.taken))
    click.echo(f"{found.state} is as it was at {when} UTC. {found.asked_first} effects were open; each is re-checked.")
    if found.files_gone:
        click.echo(f"The files of {found.files_gone} products are gone from this machine; GraceDB's are used.")
    click.echo(f"Start the dispatcher: gwbatch run --state {found.state} (and the --site and --policy as before)")
