"""What tells this dispatcher's jobs from those of others that use the same keys."""

from __future__ import annotations

import uuid
from pathlib import Path


def identity(folder: Path) -> str:
    """The identity kept in a scheduler's folder; made on first use."""
    path = folder / "identity"
    if not path.exists():
        temporary = path.with_suffix(".new")
        temporary.write_text(uuid.uuid4().hex + "\n")
        temporary.replace(path)
    return path.read_text().strip()
