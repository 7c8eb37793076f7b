"""Planning of a campaign: every file is read once, and every event that can be localized gets a row."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.folder import Folder, write
from gwbatch.campaigns.inputs import Described
from gwbatch.campaigns.owning import POLL
from gwbatch.campaigns.products import in_order
from gwbatch.campaigns.settings import CampaignSettings, Science
from gwbatch.campaigns.table import EventRow, create
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.errors import BadInput, ConfigError

DESCRIBE = "describe"
PATIENCE = 1e5  # nominal predicted CPU s of reading a file, large enough that the crew does not kill the reader


class _File(msgspec.Struct, frozen=True):
    """The contents of a file; `unusable` gives the reason for each event that cannot be localized."""

    sha256: str
    events: list[Described]
    unusable: dict[int, str] = {}


class Planned(NamedTuple):
    """A new campaign.

    Attributes
    ----------
    events : int
        Number of events.
    predicted : float
        Predicted CPU hours of their maps.
    rejected : dict
        Files and events that cannot be used, and why.
    numbered_anew : bool
        Whether the campaign numbers the events itself, because the files' coinc_event_ids were negative or not unique.
    """

    events: int
    predicted: float
    rejected: Mapping[str, str]
    numbered_anew: bool


def plan(
    files: Sequence[Path],
    folder: Folder,
    products: Sequence[str],
    science: Science,
    *,
    plugins: Sequence[str] = (),
    plugin_folders: Sequence[str] = (),
    processes: int = 1,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Planned:
    """Make a campaign from event files.

    Parameters
    ----------
    processes : int
        Number of science processes that read the files.

    Raises
    ------
    BadInput
        If no file has an event that can be localized.
    ConfigError
        If the folder is not empty, or a product is unknown.
    """
    if folder.path.exists() and any(folder.path.iterdir()):
        raise ConfigError(f"Cannot make a campaign in {folder.path}: it is not empty. Choose another folder with -o.")
    made = [wanted.name for wanted in in_order(products)]
    settings = CampaignSettings(uuid.uuid4().hex, made, science, list(plugins), list(plugin_folders))
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        described = _describe(files, folder, settings, processes, on_progress)
        good = {path: found for path, found in described.items() if not isinstance(found, str) and found.events}
        rejected = _rejected(described)
        if not good:
            some = next(iter(rejected.items()), None)
            example = f" {some[0]}: {some[1]}." if some else ""
            raise BadInput(f"Cannot make a campaign: none of {len(files)} files has a usable event.{example}")
        numbers = [event.coinc for file in good.values() for event in file.events]
        anew = len(set(numbers)) < len(numbers) or min(numbers) < 0
        listed = ((str(path), file.sha256) for path, file in good.items())
        rows = list(_rows(good, anew))
        create(folder.table, settings.key, listed, rows, rejected)
        write(folder.settings_file, msgspec.structs.replace(settings, numbered_anew=anew))
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)  # leave no half-made campaign behind
        raise
    return Planned(len(rows), sum(row.predicted for row in rows) / 3600, rejected, anew)


def _describe(
    files: Sequence[Path],
    folder: Folder,
    settings: CampaignSettings,
    processes: int,
    on_progress: Callable[[int, int], None],
) -> dict[Path, _File | str]:
    """Return the contents of each file, or the reason why it cannot be read, in the order given."""
    absolute = list(dict.fromkeys(path.absolute() for path in files))
    found: dict[int, Outcome] = {}
    crew = Crew(folder, settings, [DESCRIBE], "plan", size=min(processes, len(absolute) or 1))
    tasks = [Task(number, str(path), "", 0, [DESCRIBE], PATIENCE) for number, path in enumerate(absolute)]
    for task in tasks:
        crew.give(task)
    died: set[int] = set()
    try:
        while len(found) < len(absolute):
            for outcome in crew.poll():
                if outcome.how == "died" and outcome.id not in died:
                    died.add(outcome.id)
                    crew.give(tasks[outcome.id])
                else:
                    found[outcome.id] = outcome
            on_progress(len(found), len(absolute))
            time.sleep(POLL)
    finally:
        crew.close()
    return {path: _meaning(found[number]) for number, path in enumerate(absolute)}


def _meaning(outcome: Outcome) -> _File | str:
    return msgspec.convert(outcome.facts[DESCRIBE], _File, strict=False) if outcome.how == "done" else outcome.reason


def _rejected(described: Mapping[Path, _File | str]) -> dict[str, str]:
    """Return the files that cannot be read and the events that cannot be localized, with the reasons."""
    rejected = {}
    for path, found in described.items():
        if isinstance(found, str):
            rejected[str(path)] = found
        else:
            rejected |= {f"{path}, event {event}": reason for event, reason in found.unusable.items()}
    return rejected


def _rows(good: Mapping[Path, _File], anew: bool) -> Iterator[EventRow]:
    number = 0
    for file, (path, held) in enumerate(good.items(), start=1):
        for event in held.events:
            name = _name(path) if len(held.events) == 1 else f"{_name(path)}-{event.coinc}"
            yield EventRow(
                number if anew else event.coinc, name, file, event.coinc, event.detectors, event.samples,
                event.predicted, event.snr, event.far, event.truth,
            )  # fmt: skip
            number += 1


def _name(path: Path) -> str:
    """Return a readable event name: the file's name, or its folder's name if the file is just ``coinc.xml``."""
    stem = path.parent.name if path.name.startswith("coinc.xml") else path.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]", "-", stem) or "event"
