"""Parcels: chunks with everything that they need, for nodes that do not see the campaign's folder.

A parcel is a ZIP with the campaign's settings, one chunk, its event files with the PSDs beside them, and its plug-ins.
The node returns another ZIP with the outcomes and the files that were made.
"""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from gwbatch.campaigns import psds
from gwbatch.campaigns.chunks import Beating, Chunk, no_beat
from gwbatch.campaigns.crew import Crew
from gwbatch.campaigns.folder import Folder
from gwbatch.campaigns.node import cores, memory, share
from gwbatch.campaigns.owning import POLL, Stopping
from gwbatch.campaigns.products import load
from gwbatch.campaigns.settings import CampaignSettings
from gwbatch.campaigns.tasks import Outcome, Task
from gwbatch.config.campaign import NodeSettings
from gwbatch.errors import BadInput
from gwbatch.jobs.result import sync

SETTINGS, CHUNK, OUTCOMES = "campaign.json", "chunk.json", "outcomes.json"
EVENTS, PLUGINS, FILES = "events", "plugins", "files"


class Returned(msgspec.Struct, frozen=True):
    """What a node did with a parcel.

    Attributes
    ----------
    kept : int
        Number of the first outcomes that another node had returned when the parcel was evicted there.
    held : float
        Number of processes times seconds for which nodes held the parcel.
    """

    chunk: str
    host: str
    processes: int
    outcomes: list[Outcome]
    kept: int = 0
    held: float = 0.0

    @property
    def own(self) -> list[Outcome]:
        """The outcomes of this node."""
        return self.outcomes[self.kept :]


# ---- on the access point ------------------------------------------------------------------------------------------


def pack(settings: CampaignSettings, chunk: Chunk, parcel: Path, beat: Beating = no_beat) -> None:
    """Write a parcel atomically.

    Parameters
    ----------
    beat : callable
        Called for every event file, to renew the sender's lease.

    Raises
    ------
    OSError
        If the parcel cannot be written.
    """
    temporary = parcel.with_name(f".{parcel.name}.new")
    places: dict[str, str] = {}
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for number, path in enumerate(sorted({task.path for task in chunk.tasks})):
            beat()
            places[path] = f"{EVENTS}/{number}/{Path(path).name}"
            for source, name in _with_psds(Path(path)):
                target.write(source, f"{EVENTS}/{number}/{name}")
        for source, name in _plugins(settings):
            target.write(source, f"{PLUGINS}/{name}")
        there = msgspec.structs.replace(settings, plugin_folders=[PLUGINS] if settings.plugin_folders else [])
        target.writestr(SETTINGS, msgspec.json.encode(there))
        tasks = [msgspec.structs.replace(task, path=places[task.path]) for task in chunk.tasks]
        target.writestr(CHUNK, msgspec.json.encode(msgspec.structs.replace(chunk, tasks=tasks)))
    sync(temporary)
    temporary.replace(parcel)


def returned(result: Path, chunk: Chunk) -> Returned | None:
    """Return what a node did with a chunk, or None if its ZIP is missing, damaged or that of another chunk."""
    try:
        with zipfile.ZipFile(result) as archive:
            if archive.testzip() is not None:
                return None
            found = msgspec.json.decode(archive.read(OUTCOMES), type=Returned)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError):
        return None
    return found if found.chunk == chunk.file else None


def unpack(result: Path, folder: Folder, ids: Iterable[int], drafts: Path, beat: Beating = no_beat) -> None:
    """Move the files of some events from a node's ZIP to their places in the campaign.

    Parameters
    ----------
    drafts : Path
        Folder for files that are being written.
    beat : callable
        Called for every file, to renew the sender's lease.
    """
    wanted = set(ids)
    drafts.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(result) as archive:
        for entry in archive.infolist():
            parts = PurePosixPath(entry.filename).parts
            if len(parts) != 4 or parts[0] != FILES or ".." in parts or _event_of(parts[-1]) not in wanted:
                continue
            beat()
            place = folder.path.joinpath(*parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            draft = drafts / f"{os.getpid()}-{parts[-1]}"
            with archive.open(entry) as source, draft.open("wb") as target:
                shutil.copyfileobj(source, target)
            sync(draft)
            draft.replace(place)
            sync(place.parent)


def _event_of(name: str) -> int | None:
    number = name.split(".")[0]
    return int(number) if number.isdigit() else None


def _with_psds(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield an event file, and the PSD files that it needs, with their names in the parcel."""
    if not path.is_file():
        return  # the node refuses its events, with the reason
    yield path, path.name
    try:
        found = psds.named(path)
    except (OSError, EOFError):
        return
    for name, place in found.items():
        yield place, psds.name_in_parcel(name)


def _plugins(settings: CampaignSettings) -> Iterator[tuple[Path, str]]:
    """Yield the source files of the plug-ins in the campaign's own folders, with their names in the parcel."""
    for top in sorted({module.split(".")[0] for module in settings.plugins}):
        for parent in map(Path, settings.plugin_folders):
            if (parent / f"{top}.py").is_file():
                yield parent / f"{top}.py", f"{top}.py"
                break
            if (parent / top).is_dir():
                for source in sorted((parent / top).rglob("*.py")):
                    yield source, str(source.relative_to(parent))
                break


# ---- on the node --------------------------------------------------------------------------------------------------


def work(parcel: Path, result: Path, nodes: NodeSettings) -> Returned:
    """Do the events of a parcel on this node, and write the outcomes and files to another ZIP.

    On SIGTERM or Ctrl-C it ends at once and returns what is finished.  If another node was interrupted like this, and
    the batch system brings along the ZIP that it wrote, only the rest is done.

    Raises
    ------
    BadInput
        If the parcel cannot be read.
    """
    began = time.monotonic()
    inside = Folder(result.absolute().parent / f".{result.name}.work")
    shutil.rmtree(inside.path, ignore_errors=True)
    try:
        chunk = _open(parcel, inside)
        before = _keep(result, chunk, inside)
        finished = {outcome.id for outcome in before.outcomes}
        settings = load(inside)
        found = share(nodes, settings.products, cores(), memory())
        crew = Crew(
            inside, settings, settings.products, "node", size=found.size, threads=found.threads, memory=found.memory
        )
        tasks = [task for task in chunk.tasks if task.id not in finished]
        outcomes = [*before.outcomes, *_outcomes(crew, tasks, Stopping(inside.stop))]
        held = before.held + found.size * (time.monotonic() - began)
        did = Returned(chunk.file, os.uname().nodename, found.size, outcomes, len(before.outcomes), held)
        _write(did, inside, result)
    finally:
        shutil.rmtree(inside.path, ignore_errors=True)
    return did


def _open(parcel: Path, inside: Folder) -> Chunk:
    try:
        with zipfile.ZipFile(parcel) as archive:
            archive.extractall(inside.path)
        chunk = msgspec.json.decode((inside.path / CHUNK).read_bytes(), type=Chunk)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise BadInput(f"Cannot read the parcel {parcel}: {error}. Let the campaign send it again.") from error
    settings = inside.settings()
    folders = [str(inside.path / name) for name in settings.plugin_folders]
    inside.settings_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(settings, plugin_folders=folders)))
    tasks = [msgspec.structs.replace(task, path=str(inside.path / task.path)) for task in chunk.tasks]
    return msgspec.structs.replace(chunk, tasks=tasks)


def _keep(result: Path, chunk: Chunk, inside: Folder) -> Returned:
    """Return what another node did with a chunk before it was interrupted, and take over the files that it made."""
    before = returned(result, chunk)
    if before is None:
        return Returned(chunk.file, "", 0, [])
    outcomes = [outcome for outcome in before.outcomes if outcome.how != "stopped"]
    unpack(result, inside, (outcome.id for outcome in outcomes if outcome.how == "done"), inside.unfinished / "kept")
    return msgspec.structs.replace(before, outcomes=outcomes)


def _outcomes(crew: Crew, tasks: Iterable[Task], stopping: Stopping) -> list[Outcome]:
    outcomes: list[Outcome] = []
    with stopping.listening():
        try:
            for task in tasks:
                crew.give(task)
            while crew.holding and not stopping.look():
                outcomes += crew.poll()
                time.sleep(POLL)
        finally:
            crew.close()
    return outcomes


def _write(did: Returned, inside: Folder, result: Path) -> None:
    temporary = result.with_name(f".{result.name}.new")
    done = {outcome.id for outcome in did.outcomes if outcome.how == "done"}
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for path, name in _made(inside).items():
            if _event_of(path.name) in done:
                target.write(path, name)
        target.writestr(OUTCOMES, msgspec.json.encode(did))
    sync(temporary)
    temporary.replace(result)


def _made(inside: Folder) -> Mapping[Path, str]:
    files = inside.path / FILES
    return {path: str(path.relative_to(inside.path)) for path in sorted(files.rglob("*")) if path.is_file()}
