"""The folder of a campaign: where everything is."""

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
    """Paths of a campaign.

    ::

        campaign.json        what to compute
        events.sqlite        one row an event
        files/map/000/       the maps of the events 0 to 999, and so on; other products beside them
        packed/              what ``pack`` has made of them
        unfinished/          files that are being written, by who writes them
        chunks/              for nodes without MPI
        logs/                what the science processes printed
        status.json          what goes on now
        owner.json           who writes the table
        stop                 whoever works on the campaign stops
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
    def packed(self) -> Path:
        return self.path / "packed"

    @property
    def unfinished(self) -> Path:
        return self.path / "unfinished"

    @property
    def submission(self) -> Path:
        return self.path / "submission.json"

    def file(self, product: str, event: int, suffix: str) -> Path:
        """Return where a product of an event belongs."""
        return self.shard(product, event // PER_FOLDER) / f"{event}{suffix}"

    def shard(self, product: str, number: int) -> Path:
        """Return the folder of a thousand events."""
        return self.path / "files" / product / f"{number:03d}"

    def settings(self) -> CampaignSettings:
        """Read what the campaign is to compute.

        Raises
        ------
        BadInput
            If this is no campaign, or one of another version.
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
    """Write a JSON file so that it is there whole or not at all.

    Parameters
    ----------
    durable : bool
        Even after a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value)))
    if durable:
        sync(temporary)
    temporary.replace(path)
    if durable:
        sync(path.parent)
