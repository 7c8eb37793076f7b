"""``gwbatch deploy``: the resident processes as jobs of the batch system."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, site_options, state_directory, state_option

if TYPE_CHECKING:
    from gwbatch.config.profile import Profile
    from gwbatch.schedulers.deployment import Deployment

SITE = "site.json"


@click.group("deploy")
def command() -> None:
    """Run the dispatcher and the console as jobs of the batch system, which are restarted whenever they die.

    \b
    Examples:
      gwbatch deploy submit --site my-site.toml
      gwbatch deploy status
      gwbatch deploy rm
    """


@command.command()
@site_options
@state_option
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8765, show_default=True, help="Port of the console, on loopback."
)
@click.option("--dry-run", is_flag=True, help="Print the files and the command; submit nothing.")
@json_option
def submit(
    site: str,
    settings: tuple[str, ...],
    policies: tuple[Path, ...],
    state: Path | None,
    port: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start the resident processes; a second start on the same state directory is refused (exit code 4).

    \b
    Examples:
      gwbatch deploy submit --site ligo-cit --set scheduler.accounting_group=igwn.dev.o4.cbc.pe.bayestar \\
        --set gracedb.url=https://gracedb-playground.ligo.org/api/
      gwbatch deploy submit --site my-cluster.toml --policy my-thresholds.toml --dry-run
    """
    from msgspec import to_builtins

    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.jobs.result import write_json
    from gwbatch.schedulers import make_deployment

    directory = state_directory(state)
    profile = load_site(site, settings).profile
    profile.require_complete()
    _refuse_unseen_credentials(profile)
    load_policy(*policies)
    words = ["--site", str(Path(site).absolute()) if site.endswith(".toml") else site]
    words += [word for setting in settings for word in ("--set", setting)]
    console = [*words, "--port", str(port)]
    words += [word for path in policies for word in ("--policy", str(path.absolute()))]
    deployment = make_deployment(profile, directory, {"dispatcher": words, "console": console})
    if dry_run:
        files = deployment.files()
        if as_json:
            click.echo(
                json.dumps(
                    {"files": {str(path): text for path, text in files.items()}, "command": [*deployment.command()]}
                )
            )
            return
        for path, text in files.items():
            click.echo(f"---- {path}\n{text}")
        click.echo("---- " + " ".join(deployment.command()))
        return
    with _alone(directory):
        _refuse_second(deployment, directory)
        write_json(directory / "deploy" / SITE, {"site": words[1], "scheduler": to_builtins(profile.scheduler)})
        message = deployment.submit()
    click.echo(
        json.dumps({"submitted": message, "folder": str(directory / "deploy")})
        if as_json
        else f"{message} Files and logs: {directory / 'deploy'}. Check with 'gwbatch deploy status'."
    )


@command.command()
@state_option
@json_option
def status(state: Path | None, as_json: bool) -> None:
    """Show the resident processes; exit code 0 if the dispatcher runs, 1 if not, 2 if none was ever deployed.

    \b
    Examples:
      gwbatch deploy status --state /local/disk/gwbatch
      gwbatch deploy status --json
    """
    directory = state_directory(state)
    residents = _deployed(directory).residents()
    if as_json:
        rows = [{"role": one.role, "job": one.job, "state": one.state, "reason": one.reason} for one in residents]
        click.echo(json.dumps({"state_directory": str(directory), "residents": rows}))
    elif not residents:
        click.echo(f"Nothing is deployed on {directory}. Start it with 'gwbatch deploy submit'.")
    else:
        for one in residents:
            age = "" if one.since is None else f"for {time.time() - one.since:.0f} s"
            click.echo(f"{one.role:12s} {one.job:12s} {one.state:8s} {age:12s} {one.reason}".rstrip())
    if not any(one.role == "dispatcher" and one.state == "running" for one in residents):
        raise click.exceptions.Exit(1)


@command.command()
@state_option
def hold(state: Path | None) -> None:
    """Pause the processes until 'release'; batch jobs keep running."""
    _deployed(state_directory(state)).hold()
    click.echo("Held: the processes finish their current work and wait for 'gwbatch deploy release'.")


@command.command()
@state_option
def release(state: Path | None) -> None:
    """Start held processes again."""
    _deployed(state_directory(state)).release()
    click.echo("Released.")


@command.command()
@state_option
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for the processes to end.")
def rm(state: Path | None, timeout: float) -> None:
    """Stop the processes permanently; they finish their current work, and nothing is lost."""
    from gwbatch.errors import GwbatchError

    deployment = _deployed(state_directory(state))
    if not deployment.residents():
        click.echo("Nothing is running or waiting.")
        return
    deployment.remove()
    end = time.monotonic() + timeout
    while left := deployment.residents():
        if time.monotonic() > end:
            names = ", ".join(f"{one.role} ({one.job}, {one.state})" for one in left)
            raise GwbatchError(f"After {timeout:g} s these are still running: {names}. See 'gwbatch deploy status'.")
        time.sleep(0.5)
    click.echo("Everything has ended.")


def _deployed(directory: Path) -> Deployment:
    """Return what was deployed on a state directory.

    The scheduler settings are those recorded at deployment, because the profile may be broken by now.
    """
    from msgspec import convert

    from gwbatch.config.profile import Profile, SchedulerSettings
    from gwbatch.errors import ConfigError
    from gwbatch.schedulers import make_deployment

    try:
        chosen = json.loads((directory / "deploy" / SITE).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"Nothing was ever deployed on {directory}. Name the state directory with --state, or start with "
            "'gwbatch deploy submit'."
        ) from None
    profile = Profile(chosen["site"], scheduler=convert(chosen["scheduler"], SchedulerSettings))
    return make_deployment(profile, directory, {})


def _refuse_unseen_credentials(profile: Profile) -> None:
    """Refuse credentials that are not in files.

    Everybody can read a job's environment, so gwbatch puts no secrets there.
    """
    from gwbatch.errors import ConfigError

    for name, listener in profile.listeners.items():
        if listener.enabled and listener.auth == "oidc" and not listener.credentials:
            raise ConfigError(
                f"The listener {name} takes its credentials from $GCN_CLIENT_ID and $GCN_CLIENT_SECRET, which a "
                "deployed dispatcher does not have. Put them into a file of yours: "
                f"--set listeners.{name}.credentials=FILE."
            )


def _refuse_second(deployment: Deployment, directory: Path) -> None:
    """Refuse to submit while something is deployed or running, or while that cannot be determined."""
    from gwbatch.errors import AlreadyRunning
    from gwbatch.ledger import Ledger
    from gwbatch.reports.status import report

    there = deployment.residents()
    if there:
        names = ", ".join(f"{one.role} ({one.job}, {one.state})" for one in there)
        raise AlreadyRunning(f"{directory} is deployed already: {names}. Stop it with 'gwbatch deploy rm' first.")
    path = directory / "ledger.sqlite"
    if path.exists():
        ledger = Ledger(path)
        dispatcher = report(ledger, time.time())["dispatcher"]
        ledger.close()
        if dispatcher["running"]:
            raise AlreadyRunning(
                f"A dispatcher runs on {directory} already (host {dispatcher['host']}, pid {dispatcher['pid']}), "
                "not started by a deployment. Stop it first."
            )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Serialize simultaneous deployments on one state directory."""
    (directory / "deploy").mkdir(parents=True, exist_ok=True)
    with (directory / "deploy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
