"""``gwbatch console``: the web page."""

from __future__ import annotations

from pathlib import Path

import click

from gwbatch.cli.options import ledger_path, profile_options, state_option
from gwbatch.errors import ConfigError


@click.command("console")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than loopback need an access rule.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port to listen on.")
@click.option("--site", default="local", show_default=True, envvar="GWBATCH_SITE", help="Site profile.")
@profile_options
@state_option
def command(host: str, port: int, site: str, settings: tuple[str, ...], state: Path | None) -> None:
    """Serve a web page that keeps itself current: what is wrong, superevents, jobs, messages, latencies.

    Read-only, and a process of its own: it can be stopped and started without the dispatcher noticing.  On
    another address than loopback it asks for a token (console.token_file of the profile), or trusts the user
    that a reverse proxy names (console.user_header, console.proxies).

    \b
    Examples:
      gwbatch console
      gwbatch console --host 0.0.0.0 --set console.token_file=~/.gwbatch-console-token
      ssh -L 8765:127.0.0.1:8765 submit-host      then open http://127.0.0.1:8765/
    """
    try:
        from gwbatch.console.server import serve
    except ImportError as error:
        raise ConfigError(f"The console needs more packages ({error.name}): pip install 'gwbatch[console]'.") from error

    from gwbatch.config.profile import load_site

    profile = load_site(site, settings).profile
    serve(host, port, ledger_path(state), profile.console, profile.gracedb.url)
