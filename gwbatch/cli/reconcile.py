"""``gwbatch reconcile``: differences between the ledger and GraceDB, and their repair."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, ledger_path, policy_in_force, profile_in_force, state_option

if TYPE_CHECKING:
    from gwbatch.config.profile import Profile
    from gwbatch.ledger import Ledger
    from gwbatch.reconcile import Difference

DAY = 86400.0
SETTLE = 2.0  # s for writes in progress to finish


@click.command("reconcile")
@click.argument("names", nargs=-1, metavar="[SUPEREVENT|EXTERNAL...]")
@click.option("--days", type=click.FloatRange(0), default=7.0, show_default=True, help="How many days to look back.")
@click.option("--apply", "apply", is_flag=True, help="Have the running dispatcher make them agree.")
@state_option
@json_option
def command(names: tuple[str, ...], days: float, apply: bool, state: Path | None, as_json: bool) -> None:
    """Compare the ledger with GraceDB, say which is right and why, and make them agree with --apply.

    The comparison covers superevents (window, preferred event, members, labels), external events (labels) and public
    notices. A difference that is gone after two seconds was a write in progress and is not reported. With --apply, the
    dispatcher repeats our failed writes, and handles changes in GraceDB whose alerts never came as if they had come.
    In particular, a label that requests a public notice causes it to be sent. Exit code 0 if both agree or a repair of
    every difference was queued, otherwise 1.

    \b
    Examples:
      gwbatch reconcile
      gwbatch reconcile S240601a --json
      gwbatch reconcile --days 1 --apply
    """
    from gwbatch.errors import ConfigError
    from gwbatch.gracedb import GraceDB, make_client
    from gwbatch.ledger import Ledger
    from gwbatch.reconcile import lasting
    from gwbatch.reconcile.looking import Scope

    path = ledger_path(state)
    ledger = Ledger(path)
    profile = profile_in_force(path, None, ())
    if not profile.gracedb.url:
        raise ConfigError("Cannot compare: the dispatcher's site profile names no GraceDB server. Set gracedb.url.")
    scope = Scope(0.0 if names else time.time() - days * DAY, names)
    found = lasting(ledger, GraceDB(make_client(profile.gracedb)), scope, SETTLE, watch=_watch)
    repaired = _repair(ledger, found, profile) if apply else []
    if as_json:
        listed = [_described(one) | {"repaired": one in repaired} for one in found]
        click.echo(json.dumps({"version": 1, "differences": listed}))
    else:
        _print(found, repaired, apply=apply)
    raise click.exceptions.Exit(int(len(repaired) < len(found)))


def _repair(ledger: Ledger, found: list[Difference], profile: Profile) -> list[Difference]:
    from gwbatch.orchestrator import load_handlers
    from gwbatch.reconcile import repair

    registry = load_handlers(policy_in_force(ledger, ())[0], profile)
    with ledger.transaction() as tx:
        return repair(tx, found, registry, time.time())


def _described(one: Difference) -> dict[str, str]:
    return {
        "subject": one.subject, "what": one.what, "ours": one.ours, "theirs": one.theirs, "remedy": str(one.remedy),
        "why": one.why,
    }  # fmt: skip


def _watch(done: int, of: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {of} compared", nl=done == of, err=True)


def _print(found: list[Difference], repaired: list[Difference], *, apply: bool) -> None:
    if not found:
        click.echo("The ledger and GraceDB agree.")
        return
    for one in found:
        click.echo(f"{one.subject}  {one.what}: {one.ours} here, {one.theirs} in GraceDB")
        click.echo(f"    {one.why}")
        click.echo(f"    {_outlook(one, one in repaired)}")
    if apply:
        click.echo(f"{len(repaired)} of {len(found)} queued for the dispatcher; see 'gwbatch status'.")


def _outlook(one: Difference, handed_over: bool) -> str:
    from gwbatch.reconcile import Remedy

    if handed_over:
        return "queued for the dispatcher"
    return {
        Remedy.WAIT: "nothing to do but wait",
        Remedy.WRITE: "--apply has it written again",
        Remedy.TAKE_OVER: "--apply takes it over",
        Remedy.LOOK: "needs a person to decide",
    }[one.remedy]
