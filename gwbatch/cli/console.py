"""``gwbatch console``: the web page."""

from __future__ import annotations

from pathlib import Path

import click

from gwbatch.cli.options import ledger_path, policy_option, profile_in_force, profile_options, state_option
from gwbatch.private import keep_private


@click.command("console")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than loopback need an access rule.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port to listen on.")
@click.option("--site", envvar="GWBATCH_SITE", help="Site profile.  [default: the running dispatcher's, else local]")
@click.option(
    "--campaigns",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of a campaign, or one that has such folders in it; repeatable.",
)
@profile_options
@policy_option
@state_option
def command(
    host: str,
    port: int,
    site: str | None,
    campaigns: tuple[Path, ...],
    settings: tuple[str, ...],
    policies: tuple[Path, ...],
    state: Path | None,
) -> None:
    """Serve a web page that keeps itself current: what is wrong, superevents, jobs, messages, campaigns.

    Read-only, and a process of its own: it can be stopped and started without the dispatcher noticing.  It asks for
    a token, for other accounts of this machine reach its port too: that of console.token_file, else one that it
    makes in the state directory.  console.loopback = "open" asks nobody on this machine, console.socket listens on a
    Unix socket that only you may open.  On another address than loopback it needs console.token_file, or the user
    that a reverse proxy names (console.user_header, console.proxies).

    \b
    Examples:
      gwbatch console
      gwbatch console --set console.loopback=open
      gwbatch console --campaigns ~/campaigns
      gwbatch console --host 0.0.0.0 --set console.token_file=~/.gwbatch-console-token
      ssh -L 8765:127.0.0.1:8765 submit-host      then open http://127.0.0.1:8765/
    """
    from gwbatch.console.server import serve

    path = ledger_path(state)
    profile = profile_in_force(path, site, settings)
    keep_private()
    places = [*campaigns, *map(Path, profile.console.campaigns)]
    serve(host, port, path, profile.console, gracedb=profile.gracedb.url, policies=policies, campaigns=places)
