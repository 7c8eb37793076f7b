"""``gwbatch simulate``: a stream of events, a pool and a policy in virtual time."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, site_options

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy
    from gwbatch.config.profile import Profile
    from gwbatch.simulation.outcome import Outcome
    from gwbatch.simulation.scenario import Scenario

COUNTED = {"dead": "given up", "notices": "notices (none was sent)"}
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("simulate")
@click.argument("scenario", type=FILE, required=False)
@click.option("--like", type=FILE, metavar="LEDGER", help="Take the durations of jobs and requests from this ledger.")
@click.option("--compare", type=FILE, metavar="POLICY", help="Simulate also with this policy file on top.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw the queues into.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the ledgers in this new folder.")
@site_options
@json_option
def command(
    scenario: Path | None,
    like: Path | None,
    compare: Path | None,
    picture: Path | None,
    keep: Path | None,
    site: str,
    settings: tuple[str, ...],
    policies: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Simulate a SCENARIO (a stream of events and a pool) with a policy, in virtual time.

    Decisions, jobs, retries and timers are the dispatcher's own. The batch system is a model and GraceDB is the
    sandbox; no notice is sent and nothing is computed. The default SCENARIO is an hour with an event every ten
    minutes. docs/simulation.md describes what a scenario can contain and what the model leaves out.

    \b
    Examples:
      gwbatch simulate
      gwbatch simulate storm.toml --like ~/.local/state/gwbatch/ledger.sqlite
      gwbatch simulate storm.toml --compare fewer-maps.toml --picture queues.png
      gwbatch simulate storm.toml --keep /tmp/storm && gwbatch latency --state /tmp/storm/policy
    """
    from gwbatch.annotation import not_made
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.simulation.measured import calibrated
    from gwbatch.simulation.scenario import Scenario, read_scenario

    wanted = Scenario() if scenario is None else read_scenario(scenario)
    if like is not None:
        wanted = calibrated(wanted, Ledger(like))
    if keep is not None and keep.exists():
        raise ConfigError(f"Cannot keep the ledgers in {keep}: it already exists. Name a new folder.")
    cases = {"policy": load_policy(*policies)}
    if compare is not None:
        cases[compare.stem] = load_policy(*policies, compare)
    profile = load_site(site, settings).profile
    for text in {said for one in cases.values() for said in not_made(one, bool(profile.scheduler.em_bright)).values()}:
        click.echo(text, err=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        found = {name: _simulate(name, wanted, policy, profile, folder / name) for name, policy in cases.items()}
    if picture is not None:
        _draw(found, picture)
    if as_json:
        from gwbatch.simulation.outcome import plain

        click.echo(json.dumps({"version": 1, "simulations": {name: plain(one) for name, one in found.items()}}))
    else:
        _print(found)


def _simulate(name: str, scenario: Scenario, policy: Policy, profile: Profile, folder: Path) -> Outcome:
    from rich.console import Console
    from rich.progress import Progress

    from gwbatch.simulation.outcome import outcome_of
    from gwbatch.simulation.world import World

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=scenario.duration)
        world = World(scenario, policy, profile, folder, time.time(), lambda at: progress.update(task, completed=at))
        world.run()
    try:
        return outcome_of(world)
    finally:
        world.ledger.close()


def _print(found: dict[str, Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gwbatch.reports.milestones import MILESTONES

    table = Table("", *found, title="What would happen", title_justify="left")
    for name in ("superevents", "events", "notices", "dead"):
        table.add_row(COUNTED.get(name, name), *(str(getattr(one, name)) for one in found.values()))
    for milestone, label in MILESTONES.items():
        if any(milestone in one.milestones for one in found.values()):
            table.add_row(f"{label}: p50, p95", *(_quantiles(one.milestones.get(milestone)) for one in found.values()))
    table.add_row("map planned to made: p50, p95", *(_quantiles(one.decision_to_map) for one in found.values()))
    table.add_row("waiting for a node: p50, p95", *(_quantiles(one.waited) for one in found.values()))
    table.add_row("longest queue", *(str(one.longest_queue) for one in found.values()))
    table.add_row("node hours", *(f"{one.node_hours:.2f}" for one in found.values()))
    for queue in next(iter(found.values())).standby:
        of_queue = [one.standby[queue] for one in found.values()]
        held = (f"{one['held']:.2f}, {one['idle']:.2f}" for one in of_queue)
        table.add_row(f"pilots ({queue}): hours held, idle", *held)
        table.add_row(f"jobs done by them ({queue})", *(f"{one['jobs']:.0f}" for one in of_queue))
    Console(emoji=False, markup=False, highlight=False).print(table)


def _quantiles(row: dict[str, float] | None) -> str:
    return f"{row['p50']:.1f} s, {row['p95']:.1f} s" if row else "-"


def _draw(found: dict[str, Outcome], picture: Path) -> None:
    from gwbatch.errors import ConfigError, missing_package
    from gwbatch.simulation.outcome import draw

    try:
        draw(found, picture)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except OSError as error:
        raise ConfigError(f"Cannot write {picture}: {error.strerror}.") from error
