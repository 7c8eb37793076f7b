"""``gwbatch replay``: recorded alerts and notices, processed as if they were live."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gwbatch.cli.options import json_option, ledger_path, site_options, state_option


@click.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Decide in a scratch ledger and print; touch nothing.")
@site_options
@state_option
@json_option
def command(
    file: Path,
    dry_run: bool,
    site: str,
    settings: tuple[str, ...],
    policies: tuple[Path, ...],
    state: Path | None,
    as_json: bool,
) -> None:
    """Replay recorded alerts and notices (one {"topic": ..., "payload": ...} per line) to see the resulting decisions.

    With --dry-run, the dispatcher's own lanes decide in a scratch ledger in memory, with the plug-ins of the site.
    Every decision is printed as one JSON line (with or without --json), and a last line {"final": [...]} holds the
    final state of every superevent.  Without --dry-run, the messages are queued in the ledger for its dispatcher.

    \b
    Examples:
      gwbatch replay alerts.jsonl --dry-run
      gwbatch replay alerts.jsonl --dry-run --policy stricter.toml | tail -n 1
      gwbatch replay alerts.jsonl --state /var/lib/gwbatch
    """
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site

    policy, profile = load_policy(*policies), load_site(site, settings).profile
    if dry_run:
        from gwbatch.dispatcher.replay import replay

        with file.open("rb") as stream:
            for line in replay(stream, policy, profile):
                click.echo(line)
        return
    from gwbatch.ledger import Ledger
    from gwbatch.listeners.spool import take_file
    from gwbatch.orchestrator import load_handlers

    ledger = Ledger(ledger_path(state))
    count = take_file(file, ledger, load_handlers(policy, profile))
    if as_json:
        click.echo(json.dumps({"queued": count, "ledger": str(ledger.path)}))
    else:
        click.echo(f"{count} messages queued in {ledger.path}; see 'gwbatch status'.")
