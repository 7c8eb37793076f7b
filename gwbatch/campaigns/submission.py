"""Submission of a campaign to a batch system."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gwbatch.campaigns.chunks import Chunks
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.products import load
from gwbatch.campaigns.running import owned, take_over
from gwbatch.campaigns.table import counts
from gwbatch.config.profile import load_site
from gwbatch.errors import AlreadyRunning, BadInput, ConfigError
from gwbatch.schedulers import make_campaign_jobs
from gwbatch.schedulers.campaign import CampaignJobs, ParcelJobs, Wish

CHUNKS_PER_NODE = 4  # at least, so that faster nodes can do more


class Submission(msgspec.Struct, frozen=True):
    """``submission.json``: the options of a submission, kept so that it can be repeated."""

    site: str
    settings: list[str]
    nodes: int
    mpi: bool
    cores: int
    jobs: list[str] = []

    def wish(self, folder: Folder) -> Wish:
        """Return the request for the batch system."""
        words = ["--site", self.site] + [word for setting in self.settings for word in ("--set", setting)]
        return Wish(folder.path, self.nodes, self.mpi, words, self.cores)

    @property
    def sends_parcels(self) -> bool:
        """Whether the nodes do not see the campaign's folder."""
        return not load_site(self.site, self.settings).profile.campaign.shared_folder

    def batch_system(self) -> CampaignJobs:
        """Return the batch system of the site.

        Raises
        ------
        ConfigError
            If the site has no batch system for campaigns.
        """
        batch = make_campaign_jobs(load_site(self.site, self.settings).profile)
        if self.sends_parcels and not isinstance(batch, ParcelJobs):
            raise ConfigError(
                "Cannot use campaign.shared_folder = false here: this batch system does not move files to nodes. "
                "Put the campaign on a file system that the nodes share."
            )
        return batch


def submit(folder: Folder, wanted: Submission) -> Submission:
    """Submit a campaign, including the unfinished events of earlier jobs that are gone.

    Raises
    ------
    AlreadyRunning
        If the campaign has jobs in the queue, or another process works on it.
    BadInput
        If no event is left to do.
    """
    batch = wanted.batch_system()
    batch.description(wanted.wish(folder))  # an invalid request raises here, before anything has changed
    there = batch.in_queue(folder.path)
    if there:
        raise AlreadyRunning(
            f"Cannot submit {folder.path}: it has {len(there)} jobs in the queue ({', '.join(sorted(there)[:3])}). "
            "Check it with 'gwbatch campaign status', or stop it with 'gwbatch campaign stop'."
        )
    settings = load(folder)
    with owned(folder) as (held, table):
        in_parcels = wanted.sends_parcels
        if not in_parcels:  # the sender takes over itself, with the parcels that are still out
            take_over(folder, held, table)
        folder.stop.unlink(missing_ok=True)
        found = counts(table.connection)
        left = found["waiting"] + found["dealt"]
        if not left:
            raise BadInput(f"Cannot submit {folder.path}: nothing is left to do.")
        if not wanted.mpi and not in_parcels:
            chunks = Chunks(folder.chunks)
            chunks.make()
            nodes = min(wanted.nodes, left)
            at_least = nodes * CHUNKS_PER_NODE
            chunks.lay(table, settings.products, wanted.cores, f"{held.number:06d}", at_least, held.beat)
    folder.logs.mkdir(exist_ok=True)
    write(folder.submission, wanted)  # if we are killed after submitting, the jobs are found by the campaign's folder
    made = msgspec.structs.replace(wanted, jobs=batch.submit(wanted.wish(folder)))
    write(folder.submission, made)
    return made


def last(folder: Folder) -> Submission:
    """Return the last submission of a campaign.

    Raises
    ------
    BadInput
        If it was never submitted.
    """
    try:
        return msgspec.json.decode(folder.submission.read_bytes(), type=Submission)
    except FileNotFoundError as error:
        raise BadInput(
            f"Cannot resume {folder.path}: it was never submitted. Use 'gwbatch campaign run' or 'submit'."
        ) from error


def site_for_nodes(site: str) -> str:
    """Return a site profile's name, or the absolute path of a profile file so that nodes find it.

    Raises
    ------
    ConfigError
        If the file does not exist.
    """
    path = Path(site)
    if path.suffix == ".toml" and not path.exists():
        raise ConfigError(f"Cannot find the site profile {site}.")
    return str(path.absolute()) if path.suffix == ".toml" else site
