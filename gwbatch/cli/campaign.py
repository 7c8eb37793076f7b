"""``gwbatch campaign``: sky maps of many events on many nodes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli import campaign_results
from gwbatch.cli.options import json_option, profile_options
from gwbatch.cli.progress import Bar
from gwbatch.errors import ConfigError

if TYPE_CHECKING:
    from gwbatch.campaigns.folder import Folder
    from gwbatch.campaigns.lease import Owner
    from gwbatch.campaigns.live import Live
    from gwbatch.campaigns.owning import Ending
    from gwbatch.campaigns.submission import Submission

folder_argument = click.argument("campaign", type=click.Path(file_okay=False, path_type=Path))
site_option = click.option(
    "--site",
    default="local",
    show_default=True,
    envvar="GWBATCH_SITE",
    help="Site profile: a name (see 'gwbatch site list') or a .toml file.",
)


@click.group("campaign")
def command() -> None:
    """Localize thousands of events, on this machine or over many nodes.

    
    Examples:
      gwbatch campaign plan coincs/*.xml.gz -o my-campaign
      gwbatch campaign run my-campaign
      mpiexec -n 2 gwbatch campaign run my-campaign --mpi
      gwbatch campaign submit my-campaign --site my-site.toml --nodes 10
      gwbatch campaign status my-campaign --watch
    """


@command.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--example", is_flag=True, help="Use the ten packaged simulated events, besides any files.")
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make.")
@click.option("--products", default="map", show_default=True, help="What to make for each event, separated by commas.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="How events are localized, e.g. f_low=20, waveform=SEOBNRv4_ROM, rescale_loglikelihood=1; repeatable.",
)
@click.option("--plugin", "plugins", multiple=True, metavar="MODULE", help="Module that adds products; repeatable.")
@click.option("--plugin-folder", "plugin_folders", multiple=True, metavar="DIR", help="Where to look for it.")
@json_option
def plan(
    files: tuple[Path, ...],
    example: bool,
    output: Path,
    products: str,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    plugin_folders: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a campaign from event files (coinc.xml, gzipped or not, with one or many events in each).

    Products: map (a multi-order FITS map), stats (credible areas), volume-stats (volumes too), allsky-plot.
    The campaign reads the files where they are, so do not move or change them.

    \b
    Examples:
      gwbatch campaign plan --example -o my-campaign --products map,stats
      gwbatch campaign plan coincs/*.xml.gz -o my-campaign
      gwbatch campaign plan injections.xml.gz -o pp-test --products map,stats --set rescale_loglikelihood=1
    """
    from gwbatch.campaigns.folder import Folder
    from gwbatch.campaigns.node import cores
    from gwbatch.campaigns.planning import plan as make_plan
    from gwbatch.campaigns.settings import science_from
    from gwbatch.config.resources import example_injections
    from gwbatch.plugins import import_plugins

    if example:
        files = (*files, example_injections())
    if not files:
        raise click.UsageError("Name event files, or use --example.")
    import_plugins(plugins, plugin_folders)
    names = [name.strip() for name in products.split(",") if name.strip()]
    with Bar("reading", quiet=as_json) as show:
        planned = make_plan(
            files,
            Folder(output.absolute()),
            names,
            science_from(settings),
            plugins=plugins,
            plugin_folders=[str(Path(folder).absolute()) for folder in plugin_folders],
            processes=cores(),
            on_progress=show,
        )
    if as_json:
        summary = {"events": planned.events, "cpu_hours": planned.predicted, "rejected": dict(planned.rejected)}
        click.echo(json.dumps({**summary, "numbered_anew": planned.numbered_anew}))
        return
    for path, reason in planned.rejected.items():
        click.echo(f"Left out: {path}: {reason}.", err=True)
    left_out = f", {len(planned.rejected)} files left out" if planned.rejected else ""
    anew = " The files' event numbers are not unique, so events are renumbered from 0." if planned.numbered_anew else ""
    click.echo(f"{output}: {planned.events} events, about {planned.predicted:.2f} CPU hours{left_out}.{anew}")
    click.echo(f"Run it with: gwbatch campaign run {output}")


@command.command()
@folder_argument
@click.option("--mpi", is_flag=True, help="Run as one rank of an MPI program, started by mpiexec or srun.")
@site_option
@profile_options
def run(campaign: Path, mpi: bool, site: str, settings: tuple[str, ...]) -> None:
    """Run a campaign on this machine, with one science process per core, or as the ranks of an MPI program.

    Ctrl-C lets every process finish its event; a second Ctrl-C stops at once.  Run the command again to continue.
    Exit code 0 when all events are done, 1 when some are set aside or left, 4 when another process works on the
    campaign, 130 after a stop at the terminal.

    \b
    Examples:
      gwbatch campaign run my-campaign
      gwbatch campaign run my-campaign --set campaign.node.processes=4
      mpiexec -n 2 gwbatch campaign run my-campaign --mpi
    """
    from gwbatch.campaigns.running import run as run_here
    from gwbatch.campaigns.running import run_ranks
    from gwbatch.config.profile import load_site

    folder, nodes = _folder(campaign), load_site(site, settings).profile.campaign.node
    with Bar("localizing") as bar:
        progress = _Progress(folder, bar)
        if mpi:
            ending = run_ranks(folder, nodes, progress)
        else:
            ending = run_here(folder, nodes, on_progress=progress, on_wait=tell_wait)
    if ending is not None:
        end(folder, ending)


@command.command()
@folder_argument
@site_option
@profile_options
def work(campaign: Path, site: str, settings: tuple[str, ...]) -> None:
    """Run as a worker: process the chunks that 'submit' or 'resume' prepared until none is left.

    Any number of workers, on any nodes that share the folder, may join and leave at any time.

    \b
    Examples:
      gwbatch campaign work my-campaign
    """
    from gwbatch.campaigns.working import Worker
    from gwbatch.config.profile import load_site

    worker = Worker(_folder(campaign), load_site(site, settings).profile.campaign.node)
    done = worker.work()
    click.echo(f"This worker has done {done} events.")
    if worker.refused and not done:
        click.echo(worker.refused, err=True)
        raise click.exceptions.Exit(1)


@command.command()
@folder_argument
@click.option("--nodes", required=True, type=click.IntRange(min=1), help="How many parcels to have out at a time.")
@click.option(
    "--cores", default=0, help="Cores of a node, for the size of parcels.  [default: min_cores of the profile]"
)
@site_option
@profile_options
def send(campaign: Path, nodes: int, cores: int, site: str, settings: tuple[str, ...]) -> None:
    """Send a campaign in parcels to nodes that do not see its folder, and take in what they return.

    'submit' starts it as a job on the access point where the profile says shared_folder = false under [campaign].
    Ctrl-C or 'stop' sends no more and waits for the parcels that are running; a second Ctrl-C ends at once and leaves
    them in the queue, for the next sender.  Exit codes are those of 'run'.

    \b
    Examples:
      gwbatch campaign send my-campaign --site my-site.toml --nodes 10
    """
    from gwbatch.campaigns.sending import send as send_all
    from gwbatch.campaigns.submission import Submission, site_for_nodes
    from gwbatch.config.profile import load_site
    from gwbatch.schedulers.campaign import ParcelJobs

    folder, profile = _folder(campaign), load_site(site, settings).profile
    cores = cores or profile.campaign.min_cores
    batch = Submission(site_for_nodes(site), list(settings), nodes, False, cores).batch_system()
    if not isinstance(batch, ParcelJobs):
        raise ConfigError(f"Cannot send {campaign}: the batch system of {site} does not move files to nodes.")
    with Bar("localizing") as bar:
        ending = send_all(folder, batch, nodes=nodes, cores=cores, on_progress=_Progress(folder, bar))
    end(folder, ending)


@command.command()
@click.argument("parcel", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("result", type=click.Path(dir_okay=False, path_type=Path))
@profile_options
def parcel(parcel: Path, result: Path, settings: tuple[str, ...]) -> None:
    """Process a parcel on this node, as the jobs of 'send' do, and write the results to another ZIP.

    \b
    Examples:
      gwbatch campaign parcel parcel.zip result.zip
    """
    from gwbatch.campaigns.parcels import work as work_on
    from gwbatch.config.profile import load_site

    did = work_on(parcel, result, load_site("local", settings).profile.campaign.node)
    done = sum(outcome.how == "done" for outcome in did.outcomes)
    click.echo(f"{done} of {len(did.outcomes)} events done.")


@command.command()
@folder_argument
@click.option("--nodes", required=True, type=click.IntRange(min=1), help="How many nodes.")
@click.option("--mpi/--no-mpi", default=False, help="One MPI program over all nodes, instead of independent workers.")
@click.option("--cores", default=0, help="Cores of a node, for the size of chunks.  [default: the profile's min_cores]")
@click.option("--dry-run", is_flag=True, help="Print what would be submitted; submit nothing.")
@site_option
@profile_options
@json_option
def submit(
    campaign: Path,
    nodes: int,
    mpi: bool,
    cores: int,
    dry_run: bool,
    site: str,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Submit a campaign to whole nodes of the batch system.

    The nodes must see its folder, except on HTCondor where the profile says shared_folder = false under [campaign].

    Workers need no coordinator: among themselves they keep the campaign's table and redistribute failed events.

    \b
    Examples:
      gwbatch campaign submit my-campaign --site my-site.toml --nodes 10
      gwbatch campaign submit my-campaign --site slurm-generic --nodes 4 --mpi --dry-run
    """
    from gwbatch.campaigns.submission import Submission, site_for_nodes
    from gwbatch.campaigns.submission import submit as submit_all
    from gwbatch.config.profile import load_site

    folder, profile = _folder(campaign), load_site(site, settings).profile
    wanted = Submission(site_for_nodes(site), list(settings), nodes, mpi, cores or profile.campaign.min_cores)
    if dry_run:
        text = wanted.batch_system().description(wanted.wish(folder))
        click.echo(json.dumps({"submit": text}) if as_json else text)
        return
    _tell_submitted(submit_all(folder, wanted), campaign, as_json)


@command.command()
@folder_argument
@json_option
def resume(campaign: Path, as_json: bool) -> None:
    """Submit a campaign again with the options of the last submission; it continues where it stopped.

    Does nothing (exit code 4) while the campaign has jobs in the queue.

    \b
    Examples:
      gwbatch campaign resume my-campaign
    """
    from gwbatch.campaigns.submission import last
    from gwbatch.campaigns.submission import submit as submit_all

    folder = _folder(campaign)
    _tell_submitted(submit_all(folder, last(folder)), campaign, as_json)


def _tell_submitted(made: Submission, campaign: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"jobs": made.jobs, "nodes": made.nodes, "mpi": made.mpi}))
    else:
        jobs = f"job {made.jobs[0]}" if len(made.jobs) == 1 else f"{len(made.jobs)} jobs"
        click.echo(f"Submitted: {jobs}. Look at it with: gwbatch campaign status {campaign} --watch")


@command.command()
@folder_argument
def stop(campaign: Path) -> None:
    """Stop a campaign once every process has finished its event.  'run' or 'resume' continues it.

    \b
    Examples:
      gwbatch campaign stop my-campaign
    """
    folder = _folder(campaign)
    folder.stop.touch()
    click.echo("The campaign stops as soon as every process has finished its event.")


@command.command()
@folder_argument
@click.argument("events", nargs=-1, type=int)
def retry(campaign: Path, events: tuple[int, ...]) -> None:
    """Retry events that were set aside: all of them, or those given by number.

    \b
    Examples:
      gwbatch campaign retry my-campaign
      gwbatch campaign retry my-campaign 17 23
    """
    from gwbatch.campaigns.running import owned

    folder = _folder(campaign)
    with owned(folder, on_wait=tell_wait) as (_, table):
        count = table.retry(events or None)
    click.echo(f"{count} events are waiting again. Run them with: gwbatch campaign run {campaign}")


for _command in campaign_results.COMMANDS:
    command.add_command(_command)


def _folder(path: Path) -> Folder:
    """Open an existing campaign."""
    return campaign_results.folder_of(path)


def tell_wait(owner: Owner) -> None:
    """Explain the wait for the previous owner of a campaign."""
    click.echo(f"Process {owner.pid} on {owner.host} had this campaign last; checking whether it is alive.", err=True)


def end(folder: Folder, ending: Ending) -> None:
    """Report how a run ended, and exit with the matching code."""
    from gwbatch.campaigns.owning import Ending
    from gwbatch.campaigns.table import SET_ASIDE, counts, reading

    with reading(folder.table) as connection:
        found = counts(connection)
    left = found["waiting"] + found["dealt"]
    click.echo(f"{found['done']} events done, {found[SET_ASIDE]} set aside, {left} left.")
    if ending is Ending.STUCK:
        click.echo("Events fail on every node. See 'gwbatch campaign status', and run it elsewhere.", err=True)
    elif found[SET_ASIDE]:
        click.echo(f"See why with 'gwbatch campaign status {folder.path}'; 'retry' brings them back.", err=True)
    if ending is not Ending.OVER or found[SET_ASIDE]:
        raise click.exceptions.Exit(130 if ending is Ending.STOPPED and sys.stdin.isatty() else 1)


class _Progress:
    """Shows the progress of a run."""

    def __init__(self, folder: Folder, bar: Bar) -> None:
        self._folder, self._bar = folder, bar
        self._before = self._total = 0

    def __call__(self, live: Live) -> None:
        ended = live.done + live.set_aside
        if not self._total:  # only the rank that deals gets here and reads the table
            from gwbatch.campaigns.table import counts, reading

            with reading(self._folder.table) as connection:
                found = counts(connection)
            self._total = found.total()
            self._before = found["done"] + found["set aside"] - ended
        self._bar(self._before + ended, self._total, campaign_results.describe(live))
