"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def state_option(command: Command) -> Command:
    """``--state DIR``."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="GWBATCH_STATE",
        help="State directory, on a local disk.  [default: $GWBATCH_STATE, else ~/.local/state/gwbatch]",
    )(command)


def site_options(command: Command) -> Command:
    """``--site NAME --set NAME=VALUE --policy FILE``."""
    command = click.option(
        "--policy",
        "policies",
        multiple=True,
        type=click.Path(path_type=Path),
        help="TOML file laid over the science policy; repeatable.",
    )(command)
    command = profile_options(command)
    return click.option(
        "--site",
        default="local",
        show_default=True,
        envvar="GWBATCH_SITE",
        help="Site profile: a name (see 'gwbatch site list') or a .toml file.",
    )(command)


def profile_options(command: Command) -> Command:
    """``--set NAME=VALUE``."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="One value of the profile, e.g. gracedb.timeout=10; repeatable.",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def state_directory(state: Path | None) -> Path:
    """The state directory in force."""
    if state is not None:
        return state.absolute()
    from gwbatch.config.profile import default_state_directory

    return default_state_directory().absolute()


def ledger_path(state: Path | None) -> Path:
    """The ledger of the state directory in force."""
    return state_directory(state) / "ledger.sqlite"
