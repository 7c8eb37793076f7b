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
    help="Address to listen on; any other than loopback needs an access rule.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port to listen on.")
@click.option("--site", envvar="GWBATCH_SITE", help="Site profile.  [default: the running dispatcher's, else local]")
@click.option(
    "--campaigns",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Folder of a campaign, or a parent of such folders; repeatable.",
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
    """Serve a self-updating web page with problems, superevents, jobs, messages and campaigns.

    The console is a process of its own, so stopping or starting it does not affect the dispatcher.  It requires a
    token, because other accounts on this machine can reach its port too.  The token comes from console.token_file;
    without that file, the console generates one in the state directory.  Two settings make a token unnecessary:
    console.loopback = "open" admits every account on this machine, and console.socket listens on a Unix socket that
    only you can open.  Without a token or a reverse proxy the console is read-only.  On any other address than loopback
    it requires console.token_file, or a reverse proxy that names the user (console.user_header, console.proxies).

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
