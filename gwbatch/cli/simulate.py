"""``gwbatch simulate``: a stream of events, a pool and a policy in virtual time."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, site_options

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy
    from gwbatch.config.profile import Profile
    from gwbatch.simulation.outcome import Outcome
    from gwbatch.simulation.recorded import Recording
    from gwbatch.simulation.scenario import Scenario

COUNTED = {"dead": "given up", "notices": "notices (none was sent)"}
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Convert a UTC time to Unix seconds."""
    from gwbatch.errors import BadInput
    from gwbatch.gpstime import unix_of

    try:
        return None if value is None else unix_of(value)
    except BadInput as error:
        raise click.BadParameter(f"{error}; write 2026-12-03T04:00.", ctx, param) from error


@click.command("simulate")
@click.argument("scenario", type=FILE, required=False)
@click.option("--like", type=FILE, metavar="LEDGER", help="Take the durations of jobs and requests from this ledger.")
@click.option("--recorded", type=FILE, metavar="LEDGER", help="Simulate what this ledger received, not the streams.")
@click.option("--since", callback=_moment, metavar="UTC", help="Only what --recorded received since then.")
@click.option("--until", callback=_moment, metavar="UTC", help="Only what --recorded received until then.")
@click.option("--compare", type=FILE, metavar="POLICY", help="Simulate also with this policy file on top.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw the queues into.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep the ledgers in this new folder.")
@site_options
@json_option
def command(
    scenario: Path | None,
    like: Path | None,
    recorded: Path | None,
    since: float | None,
    until: float | None,
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

    With --recorded, the events and notices are those that the dispatcher of a ledger received, and what really
    happened is shown beside the simulation.

    \b
    Examples:
      gwbatch simulate
      gwbatch simulate storm.toml --like ~/.local/state/gwbatch/ledger.sqlite
      gwbatch simulate --recorded ledger.sqlite --like ledger.sqlite --since 2026-12-02 --until 2026-12-03
      gwbatch simulate storm.toml --compare fewer-maps.toml --picture queues.png
      gwbatch simulate storm.toml --keep /tmp/storm && gwbatch latency --state /tmp/storm/policy
    """
    import msgspec

    from gwbatch.annotation import not_made
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.simulation.measured import calibrated
    from gwbatch.simulation.outcome import recorded_outcome
    from gwbatch.simulation.scenario import Scenario, read_scenario

    wanted = Scenario() if scenario is None else read_scenario(scenario)
    if like is not None:
        with closing(Ledger(like)) as measured:
            wanted = calibrated(wanted, measured)
    recording = _recording(recorded, since, until)
    if recording is not None:
        wanted = msgspec.structs.replace(wanted, duration=recording.end - recording.begin)
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
        found = {
            name: _simulate(name, wanted, recording, policy, profile, folder / name) for name, policy in cases.items()
        }
    real = {}
    if recorded is not None and recording is not None:
        with closing(Ledger(recorded)) as past:
            real = {"recorded": recorded_outcome(past, recording, profile.standby)}
    if picture is not None:
        _draw({**real, **found}, picture)
    if as_json:
        from gwbatch.simulation.outcome import plain

        simulations = {name: plain(one) for name, one in found.items()}
        told = {"left_out": recording.left_out} if recording is not None else {}
        told |= {name: plain(one) for name, one in real.items()}
        click.echo(json.dumps({"version": 1, "simulations": simulations, **told}))
    else:
        _print({**real, **found})


def _recording(ledger: Path | None, since: float | None, until: float | None) -> Recording | None:
    """Read what a ledger received, and say what cannot be simulated."""
    from gwbatch.ledger import Ledger
    from gwbatch.simulation.recorded import FOREVER, read_recording

    if ledger is None:
        if since is not None or until is not None:
            raise click.UsageError("--since and --until need --recorded.")
        return None
    with closing(Ledger(ledger)) as past:
        recording = read_recording(past, since or 0.0, FOREVER if until is None else until)
    for reason, number in recording.left_out.items():
        click.echo(f"Events left out: {number}, because {reason}.", err=True)
    return recording


def _simulate(
    name: str, scenario: Scenario, recording: Recording | None, policy: Policy, profile: Profile, folder: Path
) -> Outcome:
    from rich.console import Console
    from rich.progress import Progress

    from gwbatch.simulation.outcome import simulate

    begin, arrivals = (time.time(), []) if recording is None else (recording.begin, recording.arrivals)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=scenario.duration)
        return simulate(
            scenario, policy, profile, folder, begin, arrivals, lambda at: progress.update(task, completed=at)
        )


def _print(found: dict[str, Outcome]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gwbatch.reports.milestones import MILESTONES

    is_recorded = "recorded" in found
    title = "What happened, and what would happen" if is_recorded else "What would happen"
    table = Table("", *found, title=title, title_justify="left")
    for name in ("superevents", "events", "notices", "dead"):
        label = "notices" if is_recorded and name == "notices" else COUNTED.get(name, name)
        table.add_row(label, *(str(getattr(one, name)) for one in found.values()))
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
