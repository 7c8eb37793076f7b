"""Input files of notices and jobs, read from this machine or else from GraceDB, whose files are cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gwbatch.gracedb import GraceDB


class Files:
    """Reads files from the places that the ledger records.

    Parameters
    ----------
    folder : Path
        Cache of downloads, so that a notice can be written while GraceDB is unreachable.
    gracedb : callable
        Returns the GraceDB server.
    graceid : callable
        Returns the GraceDB ID for a key.
    """

    def __init__(self, folder: Path, gracedb: Callable[[], GraceDB], graceid: Callable[[str], str]) -> None:
        self._folder = folder
        self._gracedb = gracedb
        self._graceid = graceid

    def read(self, place: Mapping[str, Any]) -> bytes:
        """Return a file's content.

        Parameters
        ----------
        place : mapping
            At least one of ``path`` (on this machine) and ``gracedb`` (a pair of owner and ``NAME,VERSION``).

        Raises
        ------
        GraceDBError, TransientError
            If the file is not on this machine and GraceDB does not provide it.
        """
        if "path" in place:
            try:
                return Path(place["path"]).read_bytes()
            except OSError:
                if "gracedb" not in place:
                    raise
        owner, name = place["gracedb"]
        return self.download(self._graceid(owner), name)

    def download(self, owner: str, name: str) -> bytes:
        """Return a file of GraceDB; each numbered version of a file is downloaded only once."""
        kept = self._folder / owner / hashlib.sha256(name.encode()).hexdigest()[:16] if "," in name else None
        if kept is not None and kept.exists():
            return kept.read_bytes()
        content = self._gracedb().download(owner, name)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            temporary = kept.with_name(f"{kept.name}.{os.getpid()}")
            temporary.write_bytes(content)
            temporary.replace(kept)
        return content
