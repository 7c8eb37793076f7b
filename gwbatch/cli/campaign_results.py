"""``gwbatch campaign``: what has come of a campaign."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import json_option

if TYPE_CHECKING:
    from gwbatch.campaigns.folder import Folder
    from gwbatch.campaigns.live import Live

WATCH_EVERY = 2.0  # s
SHOWN = 10  # events that were set aside


def folder_of(path: Path) -> Folder:
    """Return the folder of a campaign.

    Raises
    ------
    BadInput
        If it is none.
    """
    from gwbatch.campaigns.folder import Folder

    folder = Folder(path.absolute())
    folder.settings()
    return folder


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until all is done.")
@json_option
def status(campaign: Path, watch: bool, as_json: bool) -> None:
    """Show how far a campaign is: done, rate, efficiency, time left, by node; what failed and why.

    \b
    Examples:
      gwbatch campaign status my-campaign --watch
      gwbatch campaign status my-campaign --json
    """
    from gwbatch.campaigns.overview import overview

    folder = folder_of(campaign)
    while True:
        found = overview(folder)
        if as_json:
            click.echo(json.dumps(found))
        else:
            if watch:
                click.clear()
            click.echo("\n".join(_lines(found)))
        if not watch or not found["left"]:
            return
        time.sleep(WATCH_EVERY)


def in_words(live: Live) -> str:
    """What goes on, in one line."""
    return ", ".join(
        word
        for word in (
            f"{live.in_hand} in hand",
            f"{live.rate:.0f}/h" if live.rate else "",
            f"efficiency {live.efficiency:.0%}" if live.efficiency and live.done else "",
            f"{span(live.seconds_left)} left" if live.seconds_left is not None else "",
        )
        if word
    )


def span(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"{found['path']}: {found['done']} of {found['events']} events done, {found['set_aside']} set aside, "
        f"{found['left']} left"
    ]
    live = found["live"]
    if live is not None and not live["ended"]:
        told = [f"{live['in_hand']} in hand on {live['processes']} processes"]
        told += [f"{live['rate']:.0f} events/h"] if live["rate"] else []
        told += [f"efficiency {live['efficiency']:.0%}"] if live["efficiency"] and live["done"] else []
        told += [f"{span(live['seconds_left'])} left"] if live["seconds_left"] is not None else []
        silent = f" (no word for {span(live['silent'])})" if live["silent"] > 30 else ""
        lines.append(f"  now: {', '.join(told)}{silent}")
    for one in found["workers"]:
        silent = f", no word for {span(one['silent'])}" if one["silent"] > 30 else ""
        lines.append(
            f"  worker on {one['host']}: {one['working']} of {one['processes']} processes busy, {one['done']} events "
            f"done{silent}"
        )
    if found["chunks"]["todo"] or found["chunks"]["taken"]:
        chunks = found["chunks"]
        lines.append(f"  chunks: {chunks['todo']} to do, {chunks['taken']} taken, {chunks['done']} to be read")
    lines += [f"  node {name} gets no more: {why}" for name, why in found["nodes_at_fault"].items()]
    if found["cpu_over_predicted"] is not None:
        ratio = found["cpu_over_predicted"]
        lines.append(f"  an event took {found['cpu']:.1f} CPU s on average, {ratio:.2f} times the prediction")
    lines += [f"  set aside, {count} times: {reason}" for reason, count in found["reasons"].items()]
    lines += [f"    event {one['id']} ({one['name']}): {one['reason']}" for one in found["failed"][:SHOWN]]
    if len(found["failed"]) > SHOWN:
        lines.append(f"    and {len(found['failed']) - SHOWN} more: see --json")
    lines += [f"  left out by plan: {path}: {reason}" for path, reason in list(found["rejected"].items())[:SHOWN]]
    return lines


COMMANDS = [status]
