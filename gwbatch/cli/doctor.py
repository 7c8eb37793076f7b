"""``gwbatch doctor``: a thorough check of everything, with remedies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import (
    json_option,
    ledger_path,
    profile_in_force,
    profile_options,
    state_hint,
    state_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gwbatch.checks import Place
    from gwbatch.ledger import Ledger
    from gwbatch.reports.finding import Finding

COLOURS = {"OK": "green", "WARNING": "yellow", "CRITICAL": "red", "UNKNOWN": "magenta"}


@click.command("doctor")
@state_option
@click.option("--site", envvar="GWBATCH_SITE", help="Site profile.  [default: the one that the dispatcher runs with]")
@profile_options
@json_option
def command(state: Path | None, site: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Check everything once, and say what was found and what to do.

    Contacts GraceDB and the brokers, checks credentials and clock, reads the whole ledger, and includes the findings
    of 'gwbatch check'. It changes nothing, and can run beside a dispatcher or before one has ever run. To test the
    batch system, use 'gwbatch site check'. Exit code 0: all well, 1: warning, 2: critical.

    \b
    Examples:
      gwbatch doctor
      gwbatch doctor --site my-cluster.toml
      gwbatch doctor --json | jq '.findings[] | select(.level != "OK")'
    """
    from gwbatch.checks import Place, load_checks
    from gwbatch.clock import SystemClock
    from gwbatch.ledger import Ledger
    from gwbatch.plugins import import_plugins
    from gwbatch.reports.finding import Level

    path = ledger_path(state)
    profile = profile_in_force(path, site, settings)
    load_checks()
    import_plugins(profile.plugins, profile.plugin_folders)
    ledger = Ledger(path) if path.exists() else None
    place = Place(profile, ledger, SystemClock())
    listed = []
    for about, found in _examined(place, ledger):
        for one in found:
            listed.append({"check": about, **one.as_json()})
            if not as_json:
                _print(one)
    worst = max((Level[one["level"]] for one in listed), default=Level.OK)
    if as_json:
        click.echo(json.dumps({"level": worst.name, "findings": listed}))
    else:
        if (hint := state_hint(state, (one["remedy"] for one in listed if one["level"] != "OK"))) is not None:
            click.echo(f"      {hint}")
        bad = sum(one["level"] != "OK" for one in listed)
        click.echo("\nAll well." if worst is Level.OK else f"\n{bad} of {len(listed)} findings need attention.")
    raise click.exceptions.Exit(int(worst))


def _examined(place: Place, ledger: Ledger | None) -> Iterator[tuple[str, list[Finding]]]:
    from gwbatch.checks import run_all
    from gwbatch.reports.finding import Finding, Level
    from gwbatch.reports.health import findings, limits_in_force
    from gwbatch.reports.status import report

    told: set[str] = set()
    for check, found in run_all(place):
        told.update(one.key for one in found if one.level > Level.OK)
        yield check.name, found
    if ledger is None:
        text = "no dispatcher has run here yet"
        yield "ledger", [Finding(Level.OK, "ledger", text, "gwbatch run --site NAME, or name the state with --state")]
        return
    wrong = [
        one for one in findings(ledger, report(ledger, time.time()), limits_in_force(ledger)) if one.key not in told
    ]
    yield "ledger", wrong or [Finding(Level.OK, "ledger", "the ledger shows no problems")]


def _print(one: Finding) -> None:
    from gwbatch.reports.finding import Level

    name = Level(one.level).name
    click.echo(f"{click.style(f'{name:8}', fg=COLOURS[name], bold=name != 'OK')} {one.text}")
    if one.remedy:
        click.echo(f"         -> {one.remedy}")
