"""``gwbatch latency``: where the time of superevents went."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, ledger_path, state_option

if TYPE_CHECKING:
    from gwbatch.reports.milestones import Course


@click.command("latency")
@click.argument("superevents", nargs=-1, metavar="[SUPEREVENT...]")
@click.option("--category", type=click.Choice(["production", "mdc", "test"]), help="Only superevents of this category.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw a waterfall into.")
@state_option
@json_option
def command(
    superevents: tuple[str, ...],
    category: str | None,
    limit: int,
    picture: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Show where the time of superevents went, from the first alert to the notice, with statistics over all shown.

    All times count from the publication of the first alert about a superevent. SUPEREVENT is GraceDB's ID or the local
    key; without one, the newest superevents are shown.

    \b
    Examples:
      gwbatch latency
      gwbatch latency --category production --limit 200 --picture waterfall.png
      gwbatch latency S240601a --json | jq '.superevents[0].reached'
    """
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.reports.milestones import courses, statistics

    found = courses(Ledger(ledger_path(state)), superevents, category or "", limit)
    missing = set(superevents) - {name for one in found for name in (one.key, one.superevent_id)}
    if missing:
        raise ConfigError(f"There is no superevent {sorted(missing)[0]!r}; see 'gwbatch superevent list'.")
    if picture is not None:
        _draw(found, picture)
    if as_json:
        summary = {"version": 1, "statistics": statistics(found), "superevents": [asdict(one) for one in found]}
        click.echo(json.dumps(summary))
    elif not found:
        click.echo("There are no superevents yet.")
    else:
        _print(found)


def _print(found: list[Course]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gwbatch.reports.milestones import MILESTONES, statistics

    many = Table(
        "milestone", "count", "p50 s", "p90 s", "p95 s", "max s", title="From the alert to", title_justify="left"
    )
    for name, row in statistics(found).items():
        values = (f"{row[column]:.2f}" for column in ("p50", "p90", "p95", "max"))
        many.add_row(MILESTONES[name], f"{row['count']:.0f}", *values)
    each = Table("superevent", "preferred", "where the seconds went", title="Newest first", title_justify="left")
    for one in found:
        steps = (f"{MILESTONES[name]} +{end - begin:.2f}" for name, begin, end in one.segments)
        each.add_row(one.superevent_id or one.key, one.preferred, ", ".join(steps))
    console = Console(emoji=False, markup=False, highlight=False)
    console.print(many)
    console.print(each)


def _draw(found: list[Course], picture: Path) -> None:
    from gwbatch.errors import ConfigError, missing_package
    from gwbatch.reports.milestones import MILESTONES

    try:
        from gwbatch.jobs.charts import waterfall

        rows = [(one.superevent_id or one.key, one.segments) for one in found]
        waterfall(rows, MILESTONES, title="Where the seconds went", output=picture)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except OSError as error:
        raise ConfigError(f"Cannot write {picture}: {error.strerror}.") from error
