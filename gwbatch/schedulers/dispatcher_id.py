"""The ID that distinguishes this dispatcher's jobs from those of others with the same keys."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

from gwbatch.errors import GwbatchError
from gwbatch.jobs.result import write_json


def dispatcher_id(folder: Path) -> str:
    """Return the dispatcher ID stored in a scheduler's folder; create it on first use.

    Raises
    ------
    GwbatchError
        When it is corrupt, because with a new ID the running jobs would not be found again and would be repeated.
    """
    path = folder / "identity.json"
    if not path.exists():
        write_json(path, {"identity": uuid.uuid4().hex})
    try:
        found = str(json.loads(path.read_text())["identity"])
    except (ValueError, KeyError, TypeError):
        found = ""
    if not re.fullmatch(r"[0-9a-f]{32}", found):
        raise GwbatchError(
            f"{path} is corrupt. It holds the ID used to find running jobs after a restart. Restore it from a backup, "
            "or remove it if no job is running."
        )
    return found
