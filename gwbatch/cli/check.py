"""``gwbatch check``: a plug-in for monitoring systems."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gwbatch.cli.options import json_option, ledger_path, state_option


@click.command("check")
@state_option
@click.option("--lane-age", nargs=2, type=float, metavar="WARN CRIT", help="Age in s of the oldest waiting message.")
@click.option("--effect-age", nargs=2, type=float, metavar="WARN CRIT", help="Age in s of the oldest waiting effect.")
@click.option("--lag", nargs=2, type=float, metavar="WARN CRIT", help="Messages that a listener is behind.")
@click.option("--disk-free", nargs=2, type=float, metavar="WARN CRIT", help="Free space in GiB.")
@click.option("--silence", type=float, default=0.0, help="Warn if a listener has received nothing for this many s.")
@json_option
def command(state: Path | None, as_json: bool, **limits: Any) -> None:
    """Report problems, worst first, with Nagios/Icinga exit codes.

    Covers the dispatcher, all listeners, lanes, effects, jobs and their scheduler, dead letters, disk space and clock,
    and the results of the dispatcher's last checks of GraceDB, the brokers, its credentials and its ledger ('gwbatch
    doctor' checks them now).  Exit code 0: all well, 1: warning, 2: critical, 3: unknown (the ledger is missing or
    cannot be read).  Limits that no option sets come from [limits] in the dispatcher's site profile.

    \b
    Examples:
      gwbatch check
      gwbatch check --lane-age 30 300 --silence 7200
      gwbatch check --json | jq .findings
    """
    from gwbatch.reports.finding import Level

    given = {name: value for name, value in limits.items() if value}
    level, found, report = _look(ledger_path(state), given)
    if as_json:
        click.echo(json.dumps({"level": level.name, "findings": [one.as_json() for one in found]}))
    else:
        first = found[0].text if found else "all well"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        click.echo(f"GWBATCH {level.name}: {_plain(first)}{more}{_performance(report)}")
        for one in found[1:]:
            click.echo(f"{Level(one.level).name}: {_plain(one.text)}")
    raise click.exceptions.Exit(int(level))


def _look(path: Path, given: dict[str, Any]) -> tuple[Any, list[Any], dict[str, Any] | None]:
    import sqlite3

    from gwbatch.errors import GwbatchError
    from gwbatch.ledger import Ledger
    from gwbatch.reports.finding import Finding, Level
    from gwbatch.reports.health import findings, limits_in_force
    from gwbatch.reports.status import report

    try:
        ledger = Ledger(path)
        found = report(ledger, time.time())
        wrong = findings(ledger, found, replace(limits_in_force(ledger), **given))
    except (GwbatchError, sqlite3.Error, OSError) as error:
        return Level.UNKNOWN, [Finding(Level.UNKNOWN, "ledger", str(error))], None
    # The first line names the reason for the exit code.
    wrong = sorted((one for one in wrong if one.level > Level.OK), key=lambda one: -one.level)
    return max((one.level for one in wrong), default=Level.OK), wrong, found


def _performance(report: dict[str, Any] | None) -> str:
    if report is None:
        return ""
    values = {f"{name}_depth": lane["depth"] for name, lane in report["lanes"].items()}
    values |= {"effects": report["effects"]["ready"] + report["effects"]["running"]}
    values |= {"dead_letters": report["dead_letters"]["count"]}
    return " | " + " ".join(f"{name}={value}" for name, value in values.items())


def _plain(text: str) -> str:
    """Return text as one line without ``|``, which would begin performance data."""
    return " ".join(text.split()).replace("|", "/")
