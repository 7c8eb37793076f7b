"""PSD files outside of an event file, which its ``--reference-psd`` parameters name."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path, PurePosixPath

from gwbatch.errors import BadInput
from gwbatch.jobs.result import sha256

PARAMETER = "--reference-psd"
_INSIDE = 'Name="REAL8FrequencySeries"'
_QUOTED = re.compile(r'"([^"]+)"')


def locate(name: str, event: Path) -> Path | None:
    """Return the PSD file that an event file names, or None if there is none.

    A relative name is relative to the event file.  In a parcel, every PSD file is beside its event file.
    """
    places = (event.parent / name, event.parent / name_in_parcel(name))  # an absolute name is a place by itself
    return next((place for place in places if place.is_file()), None)


def name_in_parcel(name: str) -> str:
    """Return the name of a PSD file in a parcel, relative to its event file."""
    path = PurePosixPath(name)
    if not path.is_absolute() and ".." not in path.parts:
        return name
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{path.name}"


def named(event: Path) -> dict[str, Path]:
    """Return the existing PSD files that an event file needs, by the names that it gives them.

    An event file that holds PSDs itself needs no others.

    Raises
    ------
    OSError
        If the event file cannot be read.
    """
    names: set[str] = set()
    opened = gzip.open if event.name.endswith(".gz") else open
    with opened(event, "rt", errors="replace") as stream:
        for line in stream:
            if _INSIDE in line:
                return {}
            if f'"{PARAMETER}"' in line:
                names.update(_QUOTED.findall(line))
    found = {name: locate(name, event) for name in sorted(names - {event.name})}
    return {name: path for name, path in found.items() if path is not None}


def digest(event: Path) -> str:
    """Return the SHA-256 of an event file and, after a plus sign, that of the PSD files that it needs, if any.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    own, of_psds = sha256(event), _digest_of_psds(event)
    return f"{own}+{of_psds}" if of_psds else own


def require_unchanged(event: Path, expected: str) -> None:
    """Compare an event file and its PSD files with their digest.

    Raises
    ------
    BadInput
        If one cannot be read, or differs.
    """
    own, _, of_psds = expected.partition("+")
    try:
        if sha256(event) != own:
            raise BadInput(f"{event} has changed since the campaign was planned")
        if of_psds and _digest_of_psds(event) != of_psds:
            raise BadInput(f"a PSD file that {event} names is missing, or has changed since the campaign was planned")
    except OSError as error:
        raise BadInput(f"{error.filename or event} cannot be read: {error.strerror}") from error


def _digest_of_psds(event: Path) -> str:
    files = named(event)
    contents = "".join(sha256(path) for path in files.values())
    return hashlib.sha256(contents.encode()).hexdigest() if files else ""
