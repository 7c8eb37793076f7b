"""Files that jobs made here: from this machine, else, where its disk was lost, what there is of them elsewhere."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput, TransientError
from gwbatch.gracedb import GraceDBError
from gwbatch.keys import split_pair
from gwbatch.ledger.database import query
from gwbatch.ledger.restored import taken_before
from gwbatch.runtime import Runtime


def content_of(path: str, purpose: str, runtime: Runtime) -> bytes:
    """Return the content of a file that a job made.

    Parameters
    ----------
    purpose : str
        What cannot be done without it, as the beginning of a sentence.

    Raises
    ------
    TransientError
        When it is neither here nor in GraceDB, and the ledger was restored: it may be computed again just now.
    BadInput
        When that is for good.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        for row in runtime.ledger.read(query("product_of_file"), {"path": path, "name": Path(path).name}):
            found = _elsewhere(row, path, runtime)
            if found is not None:
                return found
        reason = f"{purpose}: {path} cannot be read ({error.strerror})."
        if taken_before(runtime.ledger.connection, runtime.clock.now()) is not None:
            raise TransientError(f"{reason} It was lost; trying again until it has been made again.") from error
        raise BadInput(reason) from error


def _elsewhere(row: Any, path: str, runtime: Runtime) -> bytes | None:
    if row["path"] is not None and row["path"] != path:
        with suppress(OSError):
            return Path(row["path"]).read_bytes()
    facts = json.loads(row["facts"])
    name = str(facts.get("uploaded") or facts.get("filename") or row["name"])
    owner = split_pair(row["subject"])[1] or row["subject"]  # of a pair the superevent has the files
    with suppress(GraceDBError):
        return runtime.gracedb().download(runtime.graceid(owner), name)
    return None
