"""Entry points that run a campaign on this machine or as the ranks of an MPI program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gwbatch.campaigns import chunks, lease, ranks
from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.dealer import Dealer
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.lease import Lease
from gwbatch.campaigns.live import Live
from gwbatch.campaigns.node import Share, cores, memory, share
from gwbatch.campaigns.owning import Ending, Stopping, own
from gwbatch.campaigns.products import load
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.table import Table, owner_of
from gwbatch.config.campaign import NodeSettings

Progress = Callable[[Live], None]


@contextmanager
def owned(
    folder: Folder,
    *,
    patience: float | None = lease.TAKE_OVER_AFTER,
    on_wait: Callable[[lease.Owner], None] = lambda _: None,
) -> Iterator[tuple[Lease, Table]]:
    """Own a campaign for the duration of the context.

    Raises
    ------
    AlreadyRunning
        If another process works on the campaign.
    """
    held = lease.take(folder.owner, owner_of(folder.table), patience=patience, on_wait=on_wait)
    try:
        table = Table(folder.table, held.number)
        try:
            yield held, table
        finally:
            table.close()
    finally:
        held.release()


def run(
    folder: Folder,
    nodes: NodeSettings,
    *,
    products: list[str] | None = None,
    only: Callable[[Table], Iterable[int]] | None = None,
    on_progress: Progress = lambda _: None,
    on_wait: Callable[[lease.Owner], None] = lambda _: None,
) -> Ending:
    """Run a campaign on this machine.

    Parameters
    ----------
    products : list of str, optional
        Products to make instead of the campaign's.
    only : callable, optional
        Selects from the table the events to deal, whatever their state.
    """
    settings = load(folder)
    wanted = settings.products if products is None else products
    with owned(folder, on_wait=on_wait) as (held, table):
        take_over(folder, held, table)
        folder.stop.unlink(missing_ok=True)
        dealer = Dealer(table, wanted, only=None if only is None else only(table))
        found = share(nodes, wanted, cores(), memory())
        crew = _crew(folder, settings, wanted, "here", found)
        with Stopping(folder.stop).listening() as stopping:
            return own(folder, dealer, held, [crew], stopping, on_progress)


def run_ranks(folder: Folder, nodes: NodeSettings, on_progress: Progress = lambda _: None) -> Ending | None:
    """Run as one rank of an MPI program, and return how the run ended on rank 0, or None on other ranks."""
    settings = load(folder)
    post = ranks.connect()
    if post.rank:
        ranks.serve(post, folder, settings, settings.products)
        return None
    ranks_beside = ranks.others(post)
    try:
        with owned(folder) as (held, table):
            take_over(folder, held, table)
            if not os.environ.get("SLURM_JOB_ID"):  # a requeued job must not cancel a stop that the user requested
                folder.stop.unlink(missing_ok=True)
            with Stopping(folder.stop).listening() as stopping:
                dealer = Dealer(table, settings.products)

                def waiting() -> bool:
                    held.beat()
                    return stopping.look()

                def crew(found: Share) -> Crew:
                    return _crew(folder, settings, settings.products, "rank-0", found)

                places = ranks.gather(ranks_beside, nodes, settings.products, crew, waiting)
                return own(folder, dealer, held, places, stopping, on_progress)
    finally:
        ranks.farewell(post, ranks_beside)


def take_over(folder: Folder, held: Lease, table: Table) -> None:
    """Take over from the previous owner and its workers: collect what is done, and let unfinished events wait again.

    Raises
    ------
    AlreadyRunning
        If a worker is still alive.  Nothing has changed in that case.
    """
    chunks.recall(folder, table, held.beat)
    shutil.rmtree(folder.unfinished, ignore_errors=True)
    table.interrupted()
    table.forgive_nodes()


def _crew(folder: Folder, settings: CampaignSettings, products: list[str], name: str, found: Share) -> Crew:
    return Crew(folder, settings, products, name, size=found.size, threads=found.threads, memory=found.memory)
