"""``gwbatch run``: the dispatcher."""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

import click

from gwbatch import children
from gwbatch.cli.options import site_options, state_directory, state_option
from gwbatch.logs import quiet_failures
from gwbatch.private import keep_private, private_folder


@click.command("run")
@site_options
@state_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def command(
    site: str, settings: tuple[str, ...], policies: tuple[Path, ...], state: Path | None, verbose: bool
) -> None:
    """Run the dispatcher until SIGTERM or Ctrl-C; work in progress is finished first.

    Only one dispatcher can run on a state directory.  After a crash, start it again; it continues where it stopped.

    \b
    Examples:
      gwbatch run --site local --state /var/lib/gwbatch
      gwbatch run --site my-cluster.toml --policy my-thresholds.toml
      gwbatch run --set gracedb.url=https://gracedb-playground.ligo.org/api/
    """
    from gwbatch.clock import GuardedClock
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.dispatcher.service import Dispatcher
    from gwbatch.ledger import Ledger
    from gwbatch.orchestrator import load_handlers
    from gwbatch.schedulers import make_scheduler

    profile = load_site(site, settings).profile
    profile.require_complete()
    policy = load_policy(*policies)
    directory = state_directory(state)
    keep_private()
    ledger = Ledger(directory / "ledger.sqlite", create=True)
    _log_to(directory / "logs", verbose)
    registry = load_handlers(policy, profile)
    again = [argument for setting in settings for argument in ("--set", setting)]
    again += [argument for path in policies for argument in ("--policy", str(path.absolute()))]
    listeners = {
        name: children.python("gwbatch", "listen", name, "--site", site, "--state", str(directory), *again)
        for name, listener in profile.listeners.items()
        if listener.enabled
    }
    running: list[Dispatcher] = []

    def leave(*_: object) -> None:
        if not running:
            sys.exit(0)  # nothing has started yet
        running[0].ask_to_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    clock = GuardedClock()
    scheduler = partial(make_scheduler, profile, directory, clock)
    dispatcher = Dispatcher(ledger, registry, policy, profile, scheduler, directory, listeners, clock)
    running.append(dispatcher)
    dispatcher.run()
    ledger.close()


def _log_to(folder: Path, verbose: bool) -> None:
    private_folder(folder)
    quiet_failures()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s",
        handlers=[
            logging.StreamHandler(),
            RotatingFileHandler(folder / "dispatcher.log", maxBytes=10 * 2**20, backupCount=5),
        ],
    )
    logging.getLogger("urllib3").setLevel(logging.WARNING)
