"""Options that several commands share."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy
    from gwbatch.config.profile import Profile
    from gwbatch.ledger import Ledger

Command = TypeVar("Command", bound=Callable[..., Any])


def state_option(command: Command) -> Command:
    """Add ``--state DIR``."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="GWBATCH_STATE",
        help="State directory, on a local disk.  [default: $GWBATCH_STATE, else ~/.local/state/gwbatch]",
    )(command)


def state_hint(state: Path | None, remedies: Iterable[str]) -> str | None:
    """Return a line that says to add ``--state`` to the commands in remedies, if they would use another directory."""
    if state is None or state == Path(os.environ.get("GWBATCH_STATE", "")):
        return None
    if not any("gwbatch " in remedy for remedy in remedies):
        return None
    return f"   (add --state {shlex.quote(str(state))} to these commands, or export GWBATCH_STATE)"


def site_options(command: Command) -> Command:
    """Add ``--site NAME --set NAME=VALUE --policy FILE``."""
    command = click.option(
        "--policy",
        "policies",
        multiple=True,
        type=click.Path(path_type=Path),
        help="TOML file that overrides values of the science policy; repeatable.",
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
    """Add ``--set NAME=VALUE``."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="One value of the profile, e.g. gracedb.timeout=10; repeatable.",
    )(command)


def policy_option(command: Command) -> Command:
    """Add ``--policy FILE`` to a command that reads a ledger and defaults to the dispatcher's own policy."""
    return click.option(
        "--policy",
        "policies",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Explain by the standard policy with this TOML file laid over it; repeatable.  [default: the policy that "
        "the ledger's dispatcher uses]",
    )(command)


def policy_in_force(ledger: Ledger, policies: tuple[Path, ...]) -> tuple[Policy, str]:
    """Return the policy that explains decisions, and a description of where it came from."""
    from gwbatch.config.policy import load_policy
    from gwbatch.ledger import in_force

    if policies:
        return load_policy(*policies), f"the standard policy with {', '.join(map(str, policies))}"
    found = in_force.recorded_policy(ledger)
    if found is None:
        return load_policy(), "the standard policy (the dispatcher has not recorded its own)"
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found[1]))
    return found[0], f"the dispatcher's own, as of its start at {began} UTC"


def profile_in_force(path: Path, site: str | None, settings: tuple[str, ...]) -> Profile:
    """Return the site profile that a command names, else the one recorded by the ledger's dispatcher."""
    from gwbatch.config.profile import load_site
    from gwbatch.ledger import Ledger, in_force

    if site is None and not settings and path.exists():
        found = in_force.recorded_profile(Ledger(path))
        if found is not None:
            return found
    return load_site(site or "local", settings).profile


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def state_directory(state: Path | None) -> Path:
    """Return the state directory in force."""
    if state is not None:
        return state.absolute()
    from gwbatch.config.profile import default_state_directory

    return default_state_directory().absolute()


def ledger_path(state: Path | None) -> Path:
    """Return the ledger of the state directory in force."""
    return state_directory(state) / "ledger.sqlite"
