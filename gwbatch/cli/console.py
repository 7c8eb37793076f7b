"""``gwbatch console``: the web page."""

from __future__ import annotations

from pathlib import Path

import click

from gwbatch.cli.options import ledger_path, state_option
from gwbatch.errors import ConfigError


@click.command("console")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on: loopback only.")
@click.option("--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port to listen on.")
@state_option
def command(host: str, port: int, state: Path | None) -> None:
    """Serve a web page that keeps itself current: what is wrong, superevents, jobs, listeners, latencies.

    Read-only, and a process of its own: it can be stopped and started without the dispatcher noticing.

    \b
    Examples:
      gwbatch console
      ssh -L 8765:127.0.0.1:8765 submit-host      then open http://127.0.0.1:8765/
    """
    try:
        from gwbatch.console.server import serve
    except ImportError as error:
        raise ConfigError(f"The console needs more packages ({error.name}): pip install 'gwbatch[console]'.") from error

    serve(host, port, ledger_path(state))
