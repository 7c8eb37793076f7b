"""The folder of a campaign and the paths in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gwbatch.campaigns.settings import VERSION, CampaignSettings
from gwbatch.errors import BadInput
from gwbatch.jobs.result import sync

PER_FOLDER = 1000  # files


@dataclass(frozen=True)
class Folder:
    """The paths of a campaign.

    ::

        campaign.json        the settings
        events.sqlite        the table, with one row per event
        files/map/000/       the maps of events 0 to 999, and so on; other products have folders beside ``map``
        packed/              the maps packed by ``pack``
        unfinished/          files that are being written, by crew
        chunks/              chunks of events, for nodes without MPI
        logs/                the output of science processes and batch jobs
        parcels/             parcels that are out, on nodes that do not see this folder
        submission.json      the options and jobs of the last submission
        status.json          the progress of the current or last run
        owner.json           the process that writes the table
        stop                 while this file exists, all processes that work on the campaign stop
    """

    path: Path

    @property
    def settings_file(self) -> Path:
        return self.path / "campaign.json"

    @property
    def table(self) -> Path:
        return self.path / "events.sqlite"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def owner(self) -> Path:
        return self.path / "owner.json"

    @property
    def stop(self) -> Path:
        return self.path / "stop"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def chunks(self) -> Path:
        return self.path / "chunks"

    @property
    def parcels(self) -> Path:
        return self.path / "parcels"

    @property
    def packed(self) -> Path:
        return self.path / "packed"

    @property
    def unfinished(self) -> Path:
        return self.path / "unfinished"

    @property
    def submission(self) -> Path:
        return self.path / "submission.json"

    def file(self, product: str, event: int, suffix: str) -> Path:
        """Return the path of a product of an event."""
        return self.shard(product, event // PER_FOLDER) / f"{event}{suffix}"

    def shard(self, product: str, number: int) -> Path:
        """Return the folder of a product for one block of a thousand events."""
        return self.path / "files" / product / f"{number:03d}"

    def settings(self) -> CampaignSettings:
        """Read the settings of the campaign.

        Raises
        ------
        BadInput
            If the folder holds no readable campaign, or one of another version.
        """
        try:
            found = msgspec.json.decode(self.settings_file.read_bytes(), type=CampaignSettings)
        except FileNotFoundError as error:
            raise BadInput(
                f"Cannot find a campaign in {self.path}: there is no campaign.json. "
                "Make one with 'gwbatch campaign plan'."
            ) from error
        except msgspec.DecodeError as error:
            raise BadInput(f"Cannot read {self.settings_file}: {error}.") from error
        if found.version != VERSION:
            raise BadInput(f"Cannot use {self.path}: its campaign has version {found.version}, this gwbatch {VERSION}.")
        return found


def write(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write a JSON file atomically.

    Parameters
    ----------
    durable : bool
        Whether it must also survive a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value)))
    if durable:
        sync(temporary)
    temporary.replace(path)
    if durable:
        sync(path.parent)
