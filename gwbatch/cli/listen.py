"""``gwbatch listen``: one listener in the foreground."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from gwbatch.cli.options import ledger_path, site_options, state_option
from gwbatch.logs import quiet_failures
from gwbatch.private import keep_private


@click.command("listen")
@click.argument("name")
@site_options
@state_option
def command(name: str, site: str, settings: tuple[str, ...], policies: tuple[Path, ...], state: Path | None) -> None:
    """Run the listener NAME of the site profile until Ctrl-C; 'gwbatch run' does this for you.

    \b
    Example:
      gwbatch listen igwn-alert --site local --set listeners.igwn-alert.bootstrap=127.0.0.1:9092
    """
    from gwbatch.clock import SystemClock
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.listeners.process import make_listener, run_listener
    from gwbatch.orchestrator import load_handlers

    keep_private()
    quiet_failures()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    profile = load_site(site, settings).profile
    if name not in profile.listeners:
        raise ConfigError(
            f"The site profile has no listener {name!r}. It has: {', '.join(profile.listeners) or 'none'}."
        )
    registry = load_handlers(load_policy(*policies), profile)
    ledger = Ledger(ledger_path(state), create=True)
    clock = SystemClock()
    run_listener(name, make_listener(name, profile.listeners[name], ledger, registry, clock), ledger, clock)
