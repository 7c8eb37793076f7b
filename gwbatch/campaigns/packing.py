"""Packing of maps into ZIP files of a thousand, and verification that every map is present and intact.

The ZIP files are uncompressed.  Any tool can open them and read one map without unpacking the rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gwbatch.campaigns.folder import PER_FOLDER, Folder, write
from gwbatch.campaigns.table import DONE, SET_ASIDE, reading
from gwbatch.errors import BadInput
from gwbatch.failpoints import hit
from gwbatch.jobs.result import sha256, sync

MANIFEST = "manifest.json"
REMEDY = "To make it again, use 'gwbatch campaign verify --again' and then 'gwbatch campaign run'."


def pack(folder: Folder, *, on_progress: Callable[[int, int], None] = lambda _done, _of: None) -> dict[str, int]:
    """Pack the maps of each block of a thousand events in which every event is done or set aside.

    Each ZIP is written under a temporary name and read back to verify every map.  It is then renamed, and the loose
    maps are deleted.  A ZIP that lacks a map, or holds an outdated one, is rewritten.

    Returns
    -------
    dict of str to int
        Number of maps by ZIP.

    Raises
    ------
    BadInput
        If a map is missing or does not match its digest in the table.
    """
    finished = sorted(_finished(folder))
    folder.packed.mkdir(exist_ok=True)
    packed = {}
    for count, number in enumerate(finished, start=1):
        expected = {f"{event}.fits": digest for event, digest in _digests(folder, number)}
        archive = _archive(folder, number)
        if expected and not _holds(archive, expected):
            _write_archive(folder, archive, expected)
        if expected:
            hit("campaign.packed")
            _delete(folder.shard("map", number), expected)
            packed[archive.name] = len(expected)
        on_progress(count, len(finished))
    listed = {name: {"sha256": sha256(folder.packed / name), "maps": maps} for name, maps in packed.items()}
    write(folder.packed / MANIFEST, {"campaign": folder.settings().key, "archives": listed})
    return packed


def open_map(folder: Folder, event: int) -> io.BytesIO | Path:
    """Return the path of a loose map, or the contents of a packed one.

    Raises
    ------
    BadInput
        If there is neither.
    """
    loose = folder.file("map", event, ".fits")
    if loose.exists():
        return loose
    try:
        with zipfile.ZipFile(_archive(folder, event // PER_FOLDER)) as archive:
            return io.BytesIO(archive.read(loose.name))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"the map of event {event} is missing") from error


def faults(folder: Folder, *, on_progress: Callable[[int, int], None] = lambda _done, _of: None) -> dict[int, str]:
    """Return the events whose map is missing or has changed, with the reason."""
    found: dict[int, str] = {}
    with reading(folder.table) as connection:
        expected = connection.execute(
            "SELECT id, json_extract(facts, '$.map.sha256') AS digest FROM events WHERE state = ? ORDER BY id", (DONE,)
        ).fetchall()
    for count, row in enumerate(expected, start=1):
        if row["digest"] is not None:
            try:
                if _digest(open_map(folder, row["id"])) != row["digest"]:
                    found[row["id"]] = "the map has changed since it was made"
            except BadInput as error:
                found[row["id"]] = str(error)
        on_progress(count, len(expected))
    return found


def _finished(folder: Folder) -> Iterator[int]:
    """Yield the numbers of the blocks of a thousand events in which nothing is left to do."""
    with reading(folder.table) as connection:
        for row in connection.execute(
            "SELECT id / ? AS shard FROM events GROUP BY shard HAVING min(state IN (?, ?)) = 1",
            (PER_FOLDER, DONE, SET_ASIDE),
        ):
            yield row["shard"]


def _digests(folder: Folder, number: int) -> Iterator[tuple[int, str]]:
    with reading(folder.table) as connection:
        for row in connection.execute(
            "SELECT id, json_extract(facts, '$.map.sha256') AS digest FROM events WHERE state = ? AND id / ? = ? "
            "ORDER BY id",
            (DONE, PER_FOLDER, number),
        ):
            if row["digest"] is not None:
                yield row["id"], row["digest"]


def _archive(folder: Folder, number: int) -> Path:
    return folder.packed / f"maps-{number:03d}.zip"


def _holds(archive: Path, expected: Mapping[str, str]) -> bool:
    """Tell whether a ZIP exists and holds all of these maps."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return all(hashlib.sha256(opened.read(name)).hexdigest() == digest for name, digest in expected.items())
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def _write_archive(folder: Folder, archive: Path, expected: Mapping[str, str]) -> None:
    temporary = archive.with_name(f".{archive.name}.new")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for name in expected:
            try:
                source = open_map(folder, int(Path(name).stem))
            except BadInput as error:
                raise BadInput(f"Cannot pack {archive.name}: {error}. {REMEDY}") from error
            target.writestr(name, source.read_bytes() if isinstance(source, Path) else source.getvalue())
            hit("campaign.packing")
        facts: dict[str, Any] = {"sha256": dict(expected)}
        target.writestr(MANIFEST, json.dumps(facts, indent=1))
    with zipfile.ZipFile(temporary) as written:
        for name, digest in expected.items():
            if hashlib.sha256(written.read(name)).hexdigest() != digest:
                temporary.unlink()
                raise BadInput(f"Cannot pack {name} into {archive}: it has changed since it was made. {REMEDY}")
    sync(temporary)
    temporary.replace(archive)
    sync(archive.parent)


def _delete(shard: Path, expected: Mapping[str, str]) -> None:
    for name in expected:
        (shard / name).unlink(missing_ok=True)
    if shard.is_dir() and not any(shard.iterdir()):
        shard.rmdir()


def _digest(source: io.BytesIO | Path) -> str:
    return sha256(source) if isinstance(source, Path) else hashlib.sha256(source.getvalue()).hexdigest()
