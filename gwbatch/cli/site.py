"""``gwbatch site``: site profiles and the policy."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from gwbatch.cli import site_check, site_prepare
from gwbatch.cli.options import json_option, ledger_path, profile_options, state_option


@click.group("site")
def command() -> None:
    """Show and check site profiles, each of which describes one cluster.

    
    Examples:
      gwbatch site list
      gwbatch site show local --origin
      gwbatch site copy htcondor-generic my-site.toml
      gwbatch site check my-site.toml
      gwbatch site prepare em-bright /shared/em-bright
    """


command.add_command(site_check.command)
command.add_command(site_prepare.command)


@command.command("list")
@json_option
def list_sites(as_json: bool) -> None:
    """List the profiles that come with gwbatch."""
    from gwbatch.config.profile import load_site, site_names

    sites = {name: load_site(name).profile.description for name in site_names()}
    if as_json:
        click.echo(json.dumps([{"name": name, "description": text} for name, text in sites.items()]))
    else:
        for name, text in sites.items():
            click.echo(f"{name:20s} {text}")


@command.command()
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def copy(name: str, file: Path) -> None:
    """Copy a profile, with its comments, to FILE to fill in; an existing file is not overwritten.

    \b
    Examples:
      gwbatch site copy ligo-cit my-site.toml
      gwbatch site check my-site.toml
    """
    from gwbatch.config.profile import load_site, packaged_profile
    from gwbatch.errors import ConfigError

    load_site(name)
    if file.exists():
        raise ConfigError(f"{file} already exists; choose another name.")
    file.write_text(packaged_profile(name).read_text())
    click.echo(f"{file}: fill in what is empty, then try it: gwbatch site check {file}")


@command.command()
@click.argument("name", required=False, metavar="[NAME]")
@profile_options
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Show the science policy as overridden by this file.",
)
@click.option("--default-policy", is_flag=True, help="Show the science policy.")
@click.option(
    "--in-force",
    type=click.Choice(["profile", "policy"]),
    help="Show what the dispatcher of the state directory runs with, or ran with last.",
)
@state_option
@json_option
def show(
    name: str | None,
    settings: tuple[str, ...],
    origin: bool,
    policies: tuple[Path, ...],
    default_policy: bool,
    in_force: str | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Show every value of a profile (by default ``local``), or the science policy.

    \b
    Examples:
      gwbatch site show my-site.toml --origin
      gwbatch site show --in-force profile --state /var/lib/gwbatch
      gwbatch site show --policy stricter.toml
    """
    import msgspec

    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site

    origins: dict[str, str] = {}
    if in_force is not None and (name or settings or policies or default_policy or origin):
        raise click.UsageError("--in-force shows what was recorded; use it only with --state and --json.")
    if in_force is None and state is not None:
        raise click.UsageError("--state is used with --in-force only.")
    if in_force is not None:
        values = _in_force(ledger_path(state), in_force)
    elif policies or default_policy:
        values = msgspec.to_builtins(load_policy(*policies))
    else:
        site = load_site(name or "local", settings)
        values, origins = msgspec.to_builtins(site.profile), site.origins
    _hide_secrets(values)
    if as_json:
        click.echo(json.dumps({"values": values, "origins": origins} if origin else values))
        return
    for dotted, value in _flat(values):
        line = f"{dotted} = {json.dumps(value)}"
        click.echo(f"{line:70s} # {origins.get(dotted, 'default')}" if origin else line)


def _in_force(ledger: Path, what: str) -> dict[str, Any]:
    """Return the profile or policy that a ledger's dispatcher recorded when it started."""
    import msgspec

    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.ledger import in_force as recorded

    with closing(Ledger(ledger)) as opened:
        policy = recorded.recorded_policy(opened)
        found = recorded.recorded_profile(opened) if what == "profile" else policy and policy[0]
    if found is None:
        raise ConfigError(
            f"Cannot show the {what} in force: {ledger} records none that this version can read. "
            "Start the dispatcher: gwbatch run."
        )
    return dict(msgspec.to_builtins(found))


def _hide_secrets(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _hide_secrets(value)
        elif re.search("password|secret", name) and value:
            values[name] = "(hidden)"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows = []
    for name, value in values.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else [(f"{prefix}{name}", value)]
    return rows
