"""``gwbatch campaign``: status and results of a campaign."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import json_option, profile_options

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
        When `path` is not the folder of a campaign.
    """
    from gwbatch.campaigns.folder import Folder

    folder = Folder(path.absolute())
    folder.settings()
    return folder


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@click.option("--watch", is_flag=True, help="Refresh every two seconds until all is done.")
@json_option
def status(campaign: Path, watch: bool, as_json: bool) -> None:
    """Show the progress of a campaign (rate, efficiency, time left, workers), and what failed and why.

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


def describe(live: Live) -> str:
    """Describe the progress of a running campaign in one line."""
    return ", ".join(
        word
        for word in (
            f"{live.in_hand} in progress",
            f"{live.rate:.0f}/h" if live.rate else "",
            f"efficiency {live.efficiency:.0%}" if live.efficiency and live.done else "",
            f"{span(live.seconds_left)} left" if live.seconds_left is not None else "",
        )
        if word
    )


def span(seconds: float) -> str:
    """Format a duration for people."""
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
        shown = [f"{live['in_hand']} in progress on {live['processes']} processes"]
        shown += [f"{live['rate']:.0f} events/h"] if live["rate"] else []
        shown += [f"efficiency {live['efficiency']:.0%}"] if live["efficiency"] and live["done"] else []
        shown += [f"{span(live['seconds_left'])} left"] if live["seconds_left"] is not None else []
        silent = f" (no word for {span(live['silent'])})" if live["silent"] > 30 else ""
        lines.append(f"  now: {', '.join(shown)}{silent}")
    for one in found["workers"]:
        silent = f", no word for {span(one['silent'])}" if one["silent"] > 30 else ""
        lines.append(
            f"  worker on {one['host']}: {one['working']} of {one['processes']} processes busy, {one['done']} events "
            f"done{silent}"
        )
    if found["chunks"]["todo"] or found["chunks"]["taken"]:
        chunks = found["chunks"]
        lines.append(f"  chunks: {chunks['todo']} to do, {chunks['taken']} taken, {chunks['done']} to be collected")
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


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@click.option("--volumes", is_flag=True, help="Volumes and distances too; takes some seconds and 1.4 GB per event.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[default: CAMPAIGN/allsky.dat]")
@profile_options
@json_option
def stats(campaign: Path, volumes: bool, output: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Write the statistics of all maps to ``allsky.dat`` and ``allsky.fits``, after computing those that are missing.

    The first columns are those of ligo-skymap-stats, so ligo-skymap-plot-stats can read the file.

    \b
    Examples:
      gwbatch campaign stats my-campaign
      gwbatch campaign stats my-campaign --volumes -o allsky.dat
    """
    from gwbatch.campaigns.owning import Ending
    from gwbatch.campaigns.results import write_table
    from gwbatch.campaigns.running import run
    from gwbatch.config.profile import load_site

    folder = folder_of(campaign)
    wanted = "volume-stats" if volumes else "stats"
    kinds = ["volume-stats"] if volumes else ["stats", "volume-stats"]
    if lacking(folder, kinds):
        nodes = load_site("local", settings).profile.campaign.node
        ending = run(folder, nodes, products=[wanted], only=lambda table: table.done_without(kinds))
        if ending is not Ending.OVER:
            raise click.exceptions.Exit(1)
    path = output or folder.path / "allsky.dat"
    if path.suffix == ".fits":
        raise click.UsageError("-o names the text table, e.g. allsky.dat; the FITS table goes beside it.")
    count, without = write_table(folder, path), len(lacking(folder, kinds))
    if as_json:
        click.echo(json.dumps({"table": str(path), "events": count, "without": without}))
    else:
        failed = f", {without} of them without statistics" if without else ""
        click.echo(f"{path}: {count} events{failed}. Draw them with: gwbatch campaign plot {campaign}")
    if without:
        raise click.exceptions.Exit(1)


def lacking(folder: Folder, kinds: list[str]) -> list[int]:
    """Return the finished events that have none of these products."""
    from gwbatch.campaigns.table import done_without, reading

    with reading(folder.table) as connection:
        return done_without(connection, kinds)


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="[default: CAMPAIGN/plots]")
@json_option
def plot(campaign: Path, output: Path | None, as_json: bool) -> None:
    """Plot P-P, areas, volumes, cost and progress as PDF and PNG, and print the Kolmogorov-Smirnov tests.

    \b
    Examples:
      gwbatch campaign plot my-campaign
    """
    from gwbatch.campaigns.figures import draw, ks_tests
    from gwbatch.campaigns.results import rows

    folder = folder_of(campaign)
    written = draw(folder, output or folder.path / "plots")
    factor = folder.settings().science.rescale_loglikelihood
    tests = ks_tests(rows(folder), factor)
    if as_json:
        shown = {"files": [str(path) for path in written], "ks": [test._asdict() for test in tests]}
        click.echo(json.dumps(shown))
        return
    for test in tests:
        click.echo(
            f"P-P, {test.quantity}: {test.events} events, KS p = {test.p_value:.3g} (log likelihood × {test.factor:g})"
        )
    if tests and factor != 1:
        click.echo("Maps with a factor below 1 are conservative on purpose. Use maps made with 1 for this test.")
    for path in written:
        click.echo(str(path))


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@json_option
def pack(campaign: Path, as_json: bool) -> None:
    """Pack the maps of every thousand finished events into one uncompressed ZIP, with their SHA-256.

    A thousand is packed once each of its events is done or set aside. Every map is read back from the ZIP before the
    loose ones are deleted, so no map is lost if the command is killed.

    \b
    Examples:
      gwbatch campaign pack my-campaign
    """
    from gwbatch.campaigns.packing import pack as pack_all

    folder = folder_of(campaign)
    packed = pack_all(folder)
    if as_json:
        click.echo(json.dumps({"archives": {str(folder.packed / name): maps for name, maps in packed.items()}}))
        return
    for name, maps in packed.items():
        click.echo(f"{folder.packed / name}: {maps} maps")
    if not packed:
        click.echo("Nothing to pack: no block of a thousand events is finished.")


@click.command()
@click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
@click.option("--again", is_flag=True, help="Localize damaged events again.")
@json_option
def verify(campaign: Path, again: bool, as_json: bool) -> None:
    """Check that every map, loose or packed, is intact; exit code 1 if one is not.

    \b
    Examples:
      gwbatch campaign verify my-campaign
      gwbatch campaign verify my-campaign --again
    """
    from gwbatch.campaigns.packing import faults
    from gwbatch.campaigns.running import owned

    folder = folder_of(campaign)
    found = faults(folder)
    if again and found:
        with owned(folder) as (_, table):
            for event in found:
                folder.file("map", event, ".fits").unlink(missing_ok=True)
            table.again(found)
    if as_json:
        click.echo(json.dumps({"faults": [{"id": event, "reason": why} for event, why in found.items()]}))
    else:
        for event, why in found.items():
            click.echo(f"event {event}: {why}")
        click.echo(f"{len(found)} faults." + (" They wait again." if again and found else ""))
    if found:
        raise click.exceptions.Exit(1)


COMMANDS = [status, stats, plot, pack, verify]
