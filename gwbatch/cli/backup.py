"""``gwbatch backup``: a copy of the ledger while the dispatcher runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from gwbatch.cli.options import json_option, ledger_path, state_option


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--verify", is_flag=True, help="Write nothing; read the copy FILE and describe it.")
@state_option
@json_option
def command(file: Path, verify: bool, state: Path | None, as_json: bool) -> None:
    """Copy the ledger to FILE while the dispatcher runs, and verify the copy.

    The copy is a single file that only its owner can read. Keep it on another machine. An existing FILE is replaced
    once the new copy is complete. 'gwbatch restore' makes a state directory from the copy. 'gwbatch check' warns when
    the newest copy is older than 26 hours.

    \b
    Examples:
      gwbatch backup /backups/gwbatch.sqlite
      gwbatch backup /backups/gwbatch.sqlite --verify --json
      0 * * * *  gwbatch backup /backups/gwbatch-$(date +\\%a-\\%H).sqlite      in a crontab
    """
    from gwbatch.cli.progress import Bar
    from gwbatch.ledger import Ledger
    from gwbatch.ledger.backup import back_up, described

    if verify:
        found = described(file)
    else:
        with Bar("Pages of the ledger", quiet=as_json) as progress:
            found = back_up(Ledger(ledger_path(state)), file, time.time(), progress)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.taken))
    click.echo(
        f"{found.path}: {found.size / 1e6:.1f} MB, {found.superevents} superevents and {found.notices} notices of "
        f"{found.state} on {found.host} at {when} UTC; verified."
    )
