"""Planning a campaign: every file is read once, and what can be worked at gets a row."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Planned(NamedTuple):
    """A new campaign.

    Attributes
    ----------
    events : int
        How many.
    predicted : float
        CPU hours of their maps.
    rejected : dict
        Files that cannot be used, and why.
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
    """Make a campaign of event files.

    Parameters
    ----------
    processes : int
        Science processes that read the files.

    Raises
    ------
    BadInput
        If no file has an event that can be localized.
    ConfigError
        If there is a campaign already, or no such product.
    """
    if folder.path.exists() and any(folder.path.iterdir()):
        raise ConfigError(f"Cannot make a campaign in {folder.path}: it is not empty. Choose another folder with -o.")
    made = [wanted.name for wanted in in_order(products)]
    settings = CampaignSettings(uuid.uuid4().hex, made, science, list(plugins), list(plugin_folders))
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        described = _describe(files, folder, settings, processes, on_progress)
        good = {path: found for path, found in described.items() if not isinstance(found, str)}
        rejected = {str(path): found for path, found in described.items() if isinstance(found, str)}
        if not good:
            some = next(iter(rejected.items()), None)
            told = f" {some[0]}: {some[1]}." if some else ""
            raise BadInput(f"Cannot make a campaign: none of {len(files)} files has an event.{told}")
        numbers = [event.coinc for _, events in good.values() for event in events]
        anew = len(set(numbers)) < len(numbers) or min(numbers) < 0
        listed = ((str(path), digest) for path, (digest, _) in good.items())
        rows = list(_rows(good, anew))
        create(folder.table, settings.key, listed, rows, rejected)
        write(folder.settings_file, msgspec.structs.replace(settings, numbered_anew=anew))
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)  # a folder with half a campaign is of no use to anybody
        raise
    return Planned(len(rows), sum(row.predicted for row in rows) / 3600, rejected, anew)


def _describe(
    files: Sequence[Path],
    folder: Folder,
    settings: CampaignSettings,
    processes: int,
    on_progress: Callable[[int, int], None],
) -> dict[Path, tuple[str, list[Described]] | str]:
    """Return each file's digest and events, or why it has none, in the order given."""
    absolute = list(dict.fromkeys(path.absolute() for path in files))
    found: dict[int, Outcome] = {}
    crew = Crew(folder, settings, [DESCRIBE], "plan", size=min(processes, len(absolute) or 1))
    for number, path in enumerate(absolute):
        crew.give(Task(number, str(path), "", 0, [DESCRIBE]))
    try:
        while len(found) < len(absolute):
            for outcome in crew.poll():
                found[outcome.id] = outcome
            on_progress(len(found), len(absolute))
            time.sleep(POLL)
    finally:
        crew.close()
    return {path: _meaning(found[number]) for number, path in enumerate(absolute)}


def _meaning(outcome: Outcome) -> tuple[str, list[Described]] | str:
    if outcome.how != "done":
        return outcome.reason
    facts: Mapping[str, Any] = outcome.facts[DESCRIBE]
    return str(facts["sha256"]), msgspec.convert(facts["events"], list[Described])


def _rows(good: Mapping[Path, tuple[str, list[Described]]], anew: bool) -> Iterator[EventRow]:
    number = 0
    for file, (path, (_, events)) in enumerate(good.items(), start=1):
        for event in events:
            name = _name(path) if len(events) == 1 else f"{_name(path)}-{event.coinc}"
            yield EventRow(
                number if anew else event.coinc, name, file, event.coinc, event.detectors, event.samples,
                event.predicted, event.snr, event.far, event.truth,
            )  # fmt: skip
            number += 1


def _name(path: Path) -> str:
    """What people call the event of a file: the file's name, or its folder's where that says more."""
    stem = path.parent.name if path.name.startswith("coinc.xml") else path.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]", "-", stem) or "event"
